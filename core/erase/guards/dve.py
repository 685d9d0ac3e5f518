"""DVE (arXiv 2602.01089): the velocity of a flow loses its component along the direction from the anchor to the
concept, ``d = v(concept) - v(anchor)``, ``v <- v - <v, d> / <d, d> d``."""

from dataclasses import dataclass

from torch import Tensor

from ...backbone import Backbone
from ...schedule import FlowSchedule
from ...settings import setting
from .guard import DirectionRun, Guard, GuardSettings, along


@dataclass(frozen=True)
class VelocitySettings(GuardSettings):
    """Settings of DVE."""

    only_towards: bool = setting(
        True, "Whether only velocities that lead towards the concept are changed; false changes all, as published."
    )

    @property
    def cost(self) -> str:
        return "two more passes of the model a step for each concept, and one for each preserved text"


class _Run(DirectionRun[VelocitySettings]):
    def taken(self, result: Tensor, beyond: Tensor, direction: Tensor, guidance: float) -> Tensor:
        share = along(result, direction)
        return share.clamp_min(0) if self.task.settings.only_towards else share


def check(backbone: Backbone) -> None:
    """Raise ``ValueError`` for a model that is no flow."""
    if not isinstance(backbone.schedule, FlowSchedule):
        raise ValueError(
            f"DVE guards flow models alone, and this model ({backbone.family}) predicts noise; use another method"
        )


METHOD = Guard(
    name="dve",
    title="DVE",
    help="Takes the component along the concept out of a flow model's velocity.",
    presets={"paper": VelocitySettings(only_towards=False), "small": VelocitySettings()},
    begin=_Run,
    check=check,
)
