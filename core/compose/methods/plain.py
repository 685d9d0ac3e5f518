"""The prompt alone, as a baseline: what the same sampler draws without composing."""

from dataclasses import dataclass

from ..composer import Composer, ComposeSettings, begin_nothing


@dataclass(frozen=True)
class PlainSettings(ComposeSettings):
    """Nothing to set but what every method has, and that changes nothing here."""

    @property
    def cost(self) -> str:
        return "no more passes"


METHOD = Composer(
    name="plain",
    title="The prompt alone",
    help="Nothing is composed: the sampler draws the prompt, to compare other methods with.",
    presets={"paper": PlainSettings(), "small": PlainSettings()},
    begin=begin_nothing,
    needs=(),
    areas=lambda composition, settings: (),
    costs="No more passes.",
    note="A baseline. The MODEL stays as it is.",
)
