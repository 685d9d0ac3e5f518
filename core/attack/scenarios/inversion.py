"""Asked for by a latent: the noise from which a picture of the concept is drawn, without any text.

The scenarios 4 and 5 of M-ErasureBench (Weng et al., arXiv 2512.22877). Both models draw without a prompt and without
guidance, which that paper finds to be the hardest case.
"""

import torch
from torch import Tensor

from ...backbone import Backbone
from ..parts.paths import draw_along, encoded, in_parts, levels_of, path_of
from ..parts.task import AttackTask
from ..scenario import Attempt, Scenario


@torch.no_grad()
def _inverted(task: AttackTask, backbone: Backbone, pictures: Tensor) -> Tensor:
    """The latents (B, C, h, w) of the noisiest level that a model draws these pictures from."""
    levels, passes = levels_of(task, backbone), task.settings.inversion_passes

    def invert(rows: range) -> Tensor:
        path = path_of(backbone, [""] * len(rows), 1.0)
        clean = encoded(path, pictures, rows)
        return path.invert(clean, levels, passes, lambda step, total: task.on_passes(len(rows) * passes))

    return in_parts(task, invert)


def _drawn(task: AttackTask, backbone: Backbone, start: Tensor) -> Tensor:
    def draw(rows: range) -> Tensor:
        path = path_of(backbone, [""] * len(rows), 1.0)
        return draw_along(task, path, start[rows.start : rows.stop], levels_of(task, backbone))

    return in_parts(task, draw)


def _of_original(task: AttackTask) -> Tensor:
    return task.once("inverted", lambda: _inverted(task, task.original, task.shown()))


def _ceiling(task: AttackTask) -> Tensor:
    return task.once("drawn of inverted", lambda: _drawn(task, task.original, _of_original(task)))


def _floor(task: AttackTask) -> Tensor:
    """Pictures of other things, inverted and drawn again by the original model."""

    def make() -> Tensor:
        return _drawn(task, task.original, _inverted(task, task.original, task.shown_others()))

    return task.once("floor of inverted", make)


def _attempt(task: AttackTask, start: Tensor) -> Attempt:
    drawn = _drawn(task, task.erased, start)
    rows = torch.arange(len(drawn)) % task.count_shown()
    return Attempt(drawn, _ceiling(task), _floor(task), ("",) * len(drawn), task.shown()[rows])


_SHARED = ("shown", "shown others", "inverted", "drawn of inverted", "floor of inverted")
OF_ERASED = Scenario(
    "inversion",
    "Latent inverted with the erased model",
    "Finds the noise from which the erased model draws pictures of the concept, and draws them again without a prompt.",
    "erased model",
    lambda task: _attempt(task, _inverted(task, task.erased, task.shown())),
    lambda task: inverting(task) + drawing(task),
    _SHARED,
)
OF_ORIGINAL = Scenario(
    "inversion_transferred",
    "Latent inverted with the original model",
    "The same with noise that was found with the original model.",
    "original model",
    lambda task: _attempt(task, _of_original(task)),
    lambda task: drawing(task),
    _SHARED,
)
SCENARIOS = (OF_ERASED, OF_ORIGINAL)


def inverting(task: AttackTask) -> int:
    """Passes of an inversion."""
    return task.settings.steps * task.settings.inversion_passes * task.settings.draws


def drawing(task: AttackTask) -> int:
    """Passes of drawing without guidance."""
    return task.settings.steps * task.settings.draws
