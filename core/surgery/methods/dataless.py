"""Dataless localising: the parameters that changed most (Localize-and-Stitch, He et al., TMLR 2025, arXiv 2408.13656).

    gamma = 1[ |tau| >= t ] ,   tau = theta_tuned - theta_base ,   t so that a share of the parameters is kept

The paper cuts once over all weights (``global``). Selection is by rank with ties broken by position, since fine-tunes
saved in few bits have many equal differences. A difference within half a step of the type that the fine-tune was saved
in is rounding, and is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ...fingerprints import spread
from ...settings import setting
from ..localiser import Localiser, SkillTask
from ..ranks import cut_of
from ..sparse import difference

SCOPES = ("global", "layer", "relative")
SUBNORMAL = 2.0**-25
"""Half a step of float16 below its smallest normal number."""
SAMPLE = 4096
"""Parameters of a weight from which its saved type is recognised."""


@dataclass(frozen=True)
class DatalessSettings:
    """Raises ``ValueError`` for values outside their range."""

    share: float = setting(0.05, "Share of the parameters to keep, of those in weights that the fine-tune changed.")
    scope: Literal["global", "layer", "relative"] = setting(
        "global",
        "How parameters compete. global: all of the model. layer: each weight keeps the same share. relative: all of "
        "the model, each change divided by the root mean square of its weight.",
    )
    mask_noise: bool = setting(True, "Leave out differences within the rounding of a file in 16 bits.")

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be from 0 to 1, got {self.share}")
        if self.scope not in SCOPES:
            raise ValueError(f"scope must be one of {', '.join(SCOPES)}, got {self.scope}")

    @property
    def cost(self) -> str:
        return "three readings of the weights, no pass"


def _find(task: SkillTask) -> Iterator[tuple[str, Tensor]]:
    settings: DatalessSettings = task.settings
    counts = {name: task.base[name].numel() for name in task.names}
    if settings.scope == "layer":
        for number, name in enumerate(task.names, 1):
            scores = _scores(task, name)
            yield name, cut_of(partial(_alone, scores), round(settings.share * counts[name])).choose(scores)
            task.on_weight(number, len(task.names))
        return
    total, done = 3 * len(task.names), [0]

    def parts() -> Iterator[Tensor]:
        for name in task.names:
            yield _scores(task, name)
            done[0] += 1
            task.on_weight(done[0], total)

    cut = cut_of(parts, round(settings.share * sum(counts.values())))
    for name in task.names:
        yield name, cut.choose(_scores(task, name))
        done[0] += 1
        task.on_weight(min(done[0], total), total)


def _alone(scores: Tensor) -> list[Tensor]:
    return [scores]


def _scores(task: SkillTask, name: str) -> Tensor:
    """(n,) float32 how far each parameter of a weight moved; 0 for what is rounding."""
    settings, base, tuned = task.settings, task.base[name], task.tuned[name]
    moved = difference(base, tuned).abs()  # (n,)
    if settings.mask_noise and settings.share < 1:
        step = rounding_of(tuned)
        if step:
            least = (step * base.float().flatten().abs()).clamp(min=SUBNORMAL)  # below it 16 bits round in even steps
            moved = torch.where(moved > least, moved, 0)
    if settings.scope == "relative":
        moved = moved / base.float().square().mean().sqrt().clamp(min=1e-12)
    return moved


def rounding_of(weight: Tensor) -> float:
    """Half a step, relative to a parameter, of the 16-bit type that a weight was saved in; 0 for more bits.

    Hosts widen weights as they load them, so the values are looked at and not their type.
    """
    flat = weight.detach().flatten()
    values = flat[spread(len(flat), SAMPLE).to(flat.device)].float()
    for narrow in (torch.float16, torch.bfloat16):
        if torch.equal(values.to(narrow).float(), values):
            return torch.finfo(narrow).eps / 2
    return 0.0


METHOD = Localiser(
    name="dataless",
    title="Localize-and-Stitch, dataless",
    help="Keeps the parameters that the fine-tune changed most.",
    presets={"paper": DatalessSettings(), "small": DatalessSettings(scope="relative")},
    find=_find,
)
