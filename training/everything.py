"""Train every part of the lab in a given time, one after the other, unattended: for whoever has a GPU."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..lab.judge.scenes import JudgedScene
from ..lab.model.weights import pack
from .dataset import SceneStream, draw_ahead, draw_pictures
from .judge import JudgeSettings, draw_some, tasks_of, train_judge
from .machine import Machine
from .tower import TowerSettings, train_tower, training_order
from .unet import UnetInputs, UnetSettings, orders_of, train_unet
from .vae import VaeSettings, draw_crops, in_parts, train_vae

log = logging.getLogger("concept_atelier.lab")

SHARES = {"vae": 0.08, "unet": 0.7, "tower": 0.05, "judge": 0.17}
"""Of the time, how much each part gets, drawing its scenes included."""

LARGE = 16
"""Batches on an accelerator, as a multiple of those on two CPU cores."""


@dataclass(frozen=True)
class Recipe:
    """The settings of every part, and how the time is shared out."""

    vae: VaeSettings = field(default_factory=VaeSettings)
    unet: UnetSettings = field(default_factory=UnetSettings)
    tower: TowerSettings = field(default_factory=TowerSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)

    def within(self, minutes: float) -> "Recipe":
        """The recipe with an end for every part, so many minutes altogether."""
        parts = {part: replace(getattr(self, part), minutes=share * minutes) for part, share in self.shares.items()}
        return replace(self, **parts)


def recipe_for(device: str) -> Recipe:
    """On a CPU the recipe as it is; on an accelerator larger batches with larger rates (about the root of the batch's
    growth), bfloat16, and no end but the time's."""
    if device == "cpu":
        return Recipe()
    mixture = tuple(
        (replace(pool, batch=LARGE * pool.batch, count=6 * pool.count), share) for pool, share in UnetSettings().mixture
    )
    unet = UnetSettings(
        mixture=mixture,
        samples=10**9,
        learning_rate=1e-3,
        averages=(0.999, 0.9995),
        bfloat16=True,
        note_every=200,
        save_every=500_000,
        sheet_every=2_000_000,
    )
    scenes = tuple(replace(kind, batch=4 * kind.batch, pool=2 * kind.pool) for kind in JudgeSettings().scenes)
    return Recipe(
        VaeSettings(samples=10**9, batch=256, learning_rate=2e-3, pool=48_000, save_every=500_000),
        unet,
        TowerSettings(samples=10**9, batch=512, pool=32_000, save_every=500_000),
        JudgeSettings(samples=10**9, scenes=scenes, learning_rate=3e-3, save_every=500_000),
    )


def train_everything(
    runs: Path, minutes: float, machine: Machine, start: Path | None = None, recipe: Recipe | None = None
) -> None:
    """Train autoencoder, denoiser with text encoder, image tower and judge in so many minutes altogether.

    Every part is a run of its own under ``runs`` that goes on where it stopped; what ends each lies in
    ``packed`` in 16 bits, in files below 16 MiB, which ``lab publish --runs`` reads. Where the machine has processes
    that draw, they begin at once with the scenes of all parts, in the order in which these are trained.

    Args:
        start: model folder whose weights the parts begin with; None begins at random ones.
    """
    recipe = recipe or recipe_for(machine.device)
    with drawing_ahead(recipe, machine) as drawn:
        train_parts(runs, recipe.within(minutes), machine, start, drawn)
    pack(runs, runs / "packed")
    log.info("done: publish with `python -m concept_atelier lab publish --runs %s`", runs / "packed")


@dataclass(frozen=True)
class DrawnAhead:
    """What each part is trained on, drawn by other processes since the training began; None lets a part draw its own
    scenes when its turn comes."""

    vae: Iterable[np.ndarray] | None = None
    unet: Sequence[SceneStream] | None = None
    tower: Iterable[tuple[np.ndarray, np.ndarray]] | None = None
    judge: Iterable[Iterable[list[JudgedScene]]] | None = None


@contextmanager
def drawing_ahead(recipe: Recipe, machine: Machine) -> Iterator[DrawnAhead]:
    """Have the machine's processes draw the scenes of all parts, first what is needed first."""
    if machine.drawers == 0:
        yield DrawnAhead()
        return
    with machine.executor() as executor:
        yield DrawnAhead(
            vae=executor.map(draw_crops, in_parts(recipe.vae)),
            unet=draw_ahead(orders_of(recipe.unet), machine.device, executor),
            tower=executor.map(draw_pictures, training_order(recipe.tower).chunks()),
            judge=[executor.map(draw_some, tasks) for tasks in tasks_of(recipe.judge)],
        )


def train_parts(runs: Path, recipe: Recipe, machine: Machine, start: Path | None, drawn: DrawnAhead) -> None:
    """Every part in turn."""
    train_vae(runs / "vae", recipe.vae, start, machine, drawn.vae)
    vae = runs / "vae/vae.safetensors"
    train_unet(runs / "unet", UnetInputs(vae, start, machine, drawn.unet), recipe.unet)
    train_tower(runs / "tower", runs / "unet/text_encoder.safetensors", recipe.tower, machine, drawn.tower)
    train_judge(runs / "judge", vae, recipe.judge, start, machine, drawn.judge)
