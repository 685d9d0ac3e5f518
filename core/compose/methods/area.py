"""Stock area conditioning, as a baseline: the text of each region predicts its own part of the picture.

Inside ComfyUI, the CONDITIONING that comes out is what the stock nodes make, and the MODEL stays as it is; see
:mod:`..parts.areas`.
"""

from dataclasses import dataclass

from ..composer import Composer, ComposeSettings, begin_nothing
from ..composition import Composition
from ..parts.areas import Area, areas_of


@dataclass(frozen=True)
class AreaSettings(ComposeSettings):
    """When regions are drawn by their own texts; each field's help is in its metadata."""

    @property
    def cost(self) -> str:
        return "each step takes a pass over each region alone by its text, and another by the negative prompt"


def _areas(composition: Composition, settings: AreaSettings) -> tuple[Area, ...]:
    return areas_of(composition, settings.start, settings.end)


METHOD = Composer(
    name="area",
    title="Stock area conditioning",
    help="The text of each region predicts its cells alone, as with ComfyUI's Conditioning (Set Area).",
    presets={"paper": AreaSettings(), "small": AreaSettings()},
    begin=begin_nothing,
    needs=("boxes", "texts"),
    areas=_areas,
    costs="One more pass a step over each region, and as many for the negative prompt.",
    note="A baseline. The MODEL stays as it is: the CONDITIONING holds an entry for each region.",
)
