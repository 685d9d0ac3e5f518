"""Attention in regions: the way of composing that many artists know as attention couple or regional prompting.

Each cell of the picture reads the text of its region and, by a share, the whole prompt: the outputs of cross-attention
are mixed by masks. (MultiDiffusion, arXiv 2302.08113, mixes predictions in their place.) It is a baseline beside
LoRA-Composer, which also isolates regions.
"""

from dataclasses import dataclass

from ...settings import setting
from ..composer import Composer
from .lora_composer import RegionSettings, begin_regions


@dataclass(frozen=True)
class CoupleSettings(RegionSettings):
    """How regions read their texts; each field's help is in its metadata."""

    of_prompt: float = setting(0.3, "The share of the whole prompt inside a region, 0 to 1.")
    isolation: float = setting(0.0, "How far regions are kept from reading each other, 0 to 1.")


METHOD = Composer(
    name="attention_couple",
    title="Attention couple",
    help="Each region reads its own text and a share of the prompt.",
    presets={"paper": CoupleSettings(), "small": CoupleSettings(of_prompt=0.5, end=0.4)},
    begin=begin_regions,
    needs=("regions", "texts"),
    costs="No more passes of the model, but slower attention layers.",
)
