"""LoRA-Composer: several learnt concepts in one picture, each in its region, without training.

Yang et al., "LoRA-Composer: Leveraging Low-Rank Adaptation for Multi-Concept Customization in Training-Free Diffusion
Models", 2024, arXiv 2403.11627. This file has its two changes of attention. *Concept injection*: inside a region the
output of cross-attention is that of the region's own text. *Concept isolation*: cells of one region do not read those
of another in self-attention. The guidance of the latent by losses on the maps is not part of it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import AttentionEdit, AttentionInputs
from ...settings import setting
from ..composer import Composer, ComposeSettings, Share
from ..composition import Composition
from ..parts.places import Places
from ..parts.regional import attend, isolate, joint_bias, mix_texts, shares


@dataclass(frozen=True)
class RegionSettings(ComposeSettings):
    """How regions read texts and each other; each field's help is in its metadata."""

    of_prompt: float = setting(0.0, "The share of the whole prompt inside a region, 0 to 1.")
    isolation: float = setting(1.0, "How far regions are kept from reading each other, 0 to 1.")
    max_cells: int = setting(
        6144, "Most cells of the self-attention layers in which regions are kept apart; n cells need n x n numbers."
    )
    find_until: float = setting(0.2, "Without regions: share of denoising in which the words' attention is read.")
    threshold: float = setting(0.4, "Without regions: share of a word's strongest attention that belongs to it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.of_prompt <= 1 and 0 <= self.isolation <= 1 and 0 < self.threshold <= 1):
            raise ValueError("of_prompt and isolation must lie in 0 to 1, threshold above 0 and up to 1")
        if not 0 < self.find_until < 1:
            raise ValueError(f"find_until must lie between 0 and 1, got {self.find_until:g}")

    @property
    def cost(self) -> str:
        read = "no more passes; for each region one more reading of a text in every attention layer"
        return f"{read}, and self-attention with a bias" if self.isolation else read


def begin_regions(composition: Composition, settings: RegionSettings, share: Share) -> AttentionEdit:
    """The edit of one sampling run. Until the places are known every cell reads the prompt alone."""
    places = Places(composition, settings.find_until, settings.threshold)

    def edit(inputs: AttentionInputs) -> Tensor | None:
        call, done = inputs.call, share(inputs.call.timestep)
        finding = places.reads(done)
        acts = settings.start <= done < settings.end and not finding
        if call.site.kind == "self":
            fits = call.grid[0] * call.grid[1] <= settings.max_cells
            masks = places.on(call.grid) if acts and fits and settings.isolation else None
            return None if masks is None else isolate(inputs, masks.to(call.query.device), settings.isolation)
        if not inputs.conditional:
            return None
        if finding:
            places.read(inputs)
        masks = places.on(call.grid) if acts else None
        masks = torch.zeros(1, len(composition.regions), *call.grid) if masks is None else masks  # nowhere
        masks = masks.to(call.query.device)
        parts = shares(composition.regions, masks, done, settings.of_prompt)
        if call.site.kind == "cross":
            return mix_texts(inputs, composition, parts)
        bias = joint_bias(call, composition, parts, masks, settings.isolation)
        bias = bias if call.bias is None else bias + call.bias
        return attend(call.query, call.key, inputs.value, call.scale, bias)

    return edit


METHOD = Composer(
    name="lora_composer",
    title="LoRA-Composer",
    help="Each region reads its own text, and regions do not read each other.",
    presets={"paper": RegionSettings(), "small": RegionSettings(of_prompt=0.5, isolation=0.5, end=0.4)},
    begin=begin_regions,
    needs=("regions",),
    note="The guidance of the latent by losses on the maps is not part of it.",
)
