"""Train every part of the lab in a given time, unattended: for whoever has a GPU."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..lab.model.weights import pack
from .dataset import SceneStream, draw_ahead, draw_pictures
from .judge import JudgeSettings, train_judge
from .machine import Machine
from .tower import TowerSettings, train_tower, training_order
from .unet import UnetInputs, UnetSettings, orders_of, train_unet
from .vae import VaeSettings, draw_crops, in_parts, train_vae

log = logging.getLogger("concept_atelier.lab")

ENDS = {"vae": 0.2, "unet": 0.94, "tower": 0.98, "judge": 0.7}
"""When the training of each part ends, as a share of the time. The judge learns beside the denoiser."""

LARGE = 32
"""Batches on an accelerator, as a multiple of those on two CPU cores."""


@dataclass(frozen=True)
class Recipe:
    """The settings of every part, and when each ends."""

    vae: VaeSettings = field(default_factory=VaeSettings)
    unet: UnetSettings = field(default_factory=UnetSettings)
    tower: TowerSettings = field(default_factory=TowerSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    ends: Mapping[str, float] = field(default_factory=lambda: ENDS)


def recipe_for(device: str) -> Recipe:
    """On a CPU the recipe as it is; on an accelerator larger batches with larger rates (about the root of the batch's
    growth), bfloat16, and no end but the time's."""
    if device == "cpu":
        return Recipe()
    mixture = tuple(
        (replace(pool, batch=LARGE * pool.batch, count=10 * pool.count), share)
        for pool, share in UnetSettings().mixture
    )
    unet = UnetSettings(
        mixture=mixture,
        samples=10**9,
        learning_rate=1e-3,
        averages=(0.999, 0.9995),
        bfloat16=True,
        note_every=200,
        save_every=2_000_000,
        sheet_every=0,
    )
    scenes = tuple(replace(kind, batch=4 * kind.batch) for kind in JudgeSettings().scenes)
    return Recipe(
        VaeSettings(samples=10**9, batch=512, learning_rate=1.5e-3, pool=32_000, save_every=10**9),
        unet,
        TowerSettings(samples=10**9, batch=512, save_every=10**9),
        JudgeSettings(samples=10**9, scenes=scenes, save_every=10**9),
    )


def train_everything(
    runs: Path, minutes: float, machine: Machine, start: Path | None = None, recipe: Recipe | None = None
) -> None:
    """Train autoencoder, denoiser with text encoder, image tower and judge in so many minutes altogether.

    Every part is a run of its own under ``runs`` that goes on where it stopped; what ends each lies in
    ``packed`` in 16 bits, in files below 16 MiB, which ``lab publish --runs`` reads. Where the machine has processes
    that draw, they begin at once with the scenes of all parts, and the judge learns beside the denoiser.

    Args:
        start: model folder whose denoiser, text encoder and judge a new training begins with; None begins at random
            weights. The autoencoder always begins anew.
    """
    recipe = recipe or recipe_for(machine.device)
    timed = Timed(recipe, 60 * minutes)
    torch.backends.cudnn.benchmark = machine.device != "cpu"
    own, others = share_drawers(machine)
    with drawing_ahead(recipe, own) as drawn:
        train_vae(runs / "vae", timed.settings("vae"), machine=own, crops=drawn.vae)
        vae = runs / "vae/vae.safetensors"
        with beside(machine) as executor:
            judge = executor.submit(train_judge, runs / "judge", vae, timed.settings("judge"), start, others)
            train_unet(runs / "unet", UnetInputs(vae, start, own, drawn.unet), timed.settings("unet"))
            text = runs / "unet/text_encoder.safetensors"
            train_tower(runs / "tower", text, timed.settings("tower"), own, drawn.tower)
            judge.result()
    pack(runs, runs / "packed")
    log.info("done: publish with `python -m concept_atelier lab publish --runs %s`", runs / "packed")


class Timed:
    """A recipe that ends after so many seconds from now."""

    def __init__(self, recipe: Recipe, seconds: float) -> None:
        self.recipe, self.seconds, self.started = recipe, seconds, time.monotonic()

    def settings(self, part: str) -> Any:
        """The settings of a part that begins now, with the minutes that are left for it."""
        left = self.recipe.ends[part] * self.seconds - (time.monotonic() - self.started)
        return replace(getattr(self.recipe, part), minutes=max(left, 1.0) / 60)


def share_drawers(machine: Machine) -> tuple[Machine, Machine]:
    """The machine with the processes that draw for the denoiser, and with those that draw for the judge."""
    others = machine.drawers // 3
    return replace(machine, drawers=machine.drawers - others), replace(machine, drawers=others)


@contextmanager
def beside(machine: Machine) -> Iterator[Executor]:
    """Who trains the judge: another process where the machine has several, else this one, when it is asked."""
    if machine.drawers == 0:
        yield AtOnce()
        return
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=log_to_console) as executor:
        yield executor


class AtOnce(Executor):
    """Does what it is given at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """The result of the call."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def log_to_console() -> None:
    """Say what this process does as the command does."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@dataclass(frozen=True)
class DrawnAhead:
    """What a part is trained on, drawn by other processes since the training began; None lets a part draw its own
    scenes when its turn comes."""

    vae: Iterable[np.ndarray] | None = None
    unet: Sequence[SceneStream] | None = None
    tower: Iterable[tuple[np.ndarray, np.ndarray]] | None = None


@contextmanager
def drawing_ahead(recipe: Recipe, machine: Machine) -> Iterator[DrawnAhead]:
    """Have the machine's processes draw scenes, first what is needed first."""
    if machine.drawers == 0:
        yield DrawnAhead()
        return
    with machine.executor() as executor:
        yield DrawnAhead(
            vae=executor.map(draw_crops, in_parts(recipe.vae)),
            unet=draw_ahead(orders_of(recipe.unet), machine.device, executor),
            tower=executor.map(draw_pictures, training_order(recipe.tower).chunks()),
        )
