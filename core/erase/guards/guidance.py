"""The preview of All but One (Hong et al., AAAI 2024, arXiv 2312.12807): the guidance of a concept is replaced while a
picture is sampled, which the paper's training would teach the model. The form at sampling is ours."""

from dataclasses import dataclass

from torch import Tensor

from ...settings import setting
from .guard import DirectionRun, Guard, GuardSettings, along


@dataclass(frozen=True)
class GuidanceSettings(GuardSettings):
    """Settings of the preview."""

    share: bool = setting(
        True,
        "Whether the concept's guidance is taken off by as much of it as the prediction holds, so that prompts without "
        "it stay as they are; false takes all of it off every prompt.",
    )

    @property
    def cost(self) -> str:
        return "two more passes of the model a step for each concept, and one for each preserved text"


class _Run(DirectionRun[GuidanceSettings]):
    def taken(self, result: Tensor, beyond: Tensor, direction: Tensor, guidance: float) -> Tensor | float:
        # The direction is guidance of the concept less that of its anchor: what is unconditional cancels.
        if not self.task.settings.share:
            return guidance
        # Of what the prediction adds to the anchor's, the part along the concept, at most the whole of it.
        return along(beyond, direction).clamp(0, max(guidance, 1.0))


METHOD = Guard(
    name="guidance",
    title="All but One, at sampling",
    help="Takes the guidance of a concept out of every step and puts that of its anchor in its place.",
    presets={"paper": GuidanceSettings(share=False), "small": GuidanceSettings()},
    begin=_Run,
    note="The paper trains this into the model; the form at sampling is ours, to try anchors before a training.",
)
