"""Train every part of the lab in a given time, unattended: for whoever has a GPU."""

import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from ..lab.model.weights import RUN_PARTS, pack
from .counter import CounterSettings, train_counter
from .dataset import draw_ahead, draw_pictures
from .judge import JudgeSettings, train_judge
from .machine import Machine
from .mixture import orders_of
from .tower import TowerSettings, train_tower, training_order
from .unet import UnetInputs, UnetSettings, train_unet
from .vae import VaeSettings, draw_crops, in_parts, train_vae

log = logging.getLogger("concept_atelier.lab")

IN_TURN = {"vae": 0.08, "unet": 0.77, "tower": 0.82, "judge": 0.98, "counter": 1.0}
"""When the training of each part ends, as a share of the time, where one process trains them in this order."""

SIDE_BY_SIDE = {"vae": 0.2, "unet": 0.94, "tower": 0.98, "judge": 0.7, "counter": 0.8}
"""The same where another process trains the judge, and then the counter, beside the denoiser."""

VAE_FILE, TEXT_FILE, JUDGE_FILE = (RUN_PARTS[part] for part in ("vae", "text_encoder", "judge"))

LARGE = 32
"""Batches on an accelerator, as a multiple of those on two CPU cores."""


@dataclass(frozen=True)
class Recipe:
    """The settings of every part."""

    vae: VaeSettings = field(default_factory=VaeSettings)
    unet: UnetSettings = field(default_factory=UnetSettings)
    tower: TowerSettings = field(default_factory=TowerSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    counter: CounterSettings = field(default_factory=CounterSettings)


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
    """Train autoencoder, denoiser with text encoder, image tower, judge and counter in so many minutes altogether.

    Every part is a run of its own under ``runs`` that goes on where it stopped; what ends each lies in
    ``packed`` in 16 bits, in files below 16 MiB, which ``lab publish --runs`` reads. Where the machine has processes
    that draw, they begin at once with the scenes of nearly all parts, and the judge learns beside the denoiser.

    Args:
        start: model folder whose denoiser, text encoder and judge a new training begins with; None begins at random
            weights. The autoencoder always begins anew.
    """
    recipe = recipe or recipe_for(machine.device)
    with tuned_convolutions(machine.device):
        if machine.drawers == 0:
            train_in_turn(runs, recipe, minutes, machine, start)
        else:
            train_side_by_side(runs, recipe, minutes, machine, start)
    pack(runs, runs / "packed")
    log.info("done: publish with `python -m concept_atelier lab publish --runs %s`", runs / "packed")


def train_in_turn(runs: Path, recipe: Recipe, minutes: float, machine: Machine, start: Path | None) -> None:
    """One part after the other, each with scenes that it draws itself."""
    timed, vae = Timed(recipe, IN_TURN, minutes), runs / VAE_FILE
    train_vae(runs / "vae", timed.settings("vae"), machine=machine)
    train_unet(runs / "unet", UnetInputs(vae, start, machine), timed.settings("unet"))
    train_tower(runs / "tower", runs / TEXT_FILE, timed.settings("tower"), machine)
    train_judge_and_counter(runs, timed, start, machine)


def train_side_by_side(runs: Path, recipe: Recipe, minutes: float, machine: Machine, start: Path | None) -> None:
    """The judge in a process of its own beside the denoiser, and all scenes drawn ahead."""
    timed, vae = Timed(recipe, SIDE_BY_SIDE, minutes), runs / VAE_FILE
    own, others = share_drawers(machine)
    with own.executor() as drawers, ProcessPoolExecutor(1, get_context("spawn"), log_to_console) as beside:
        # What is needed first is ordered first.
        crops = drawers.map(draw_crops, in_parts(recipe.vae))
        scenes = draw_ahead(orders_of(recipe.unet), machine.device, drawers)
        captioned = drawers.map(draw_pictures, training_order(recipe.tower).chunks())
        train_vae(runs / "vae", timed.settings("vae"), machine=own, crops=crops)
        judge = beside.submit(train_judge_and_counter, runs, timed, start, others)
        train_unet(runs / "unet", UnetInputs(vae, start, own, scenes), timed.settings("unet"))
        train_tower(runs / "tower", runs / TEXT_FILE, timed.settings("tower"), own, captioned)
        judge.result()


def train_judge_and_counter(runs: Path, timed: "Timed", start: Path | None, machine: Machine) -> None:
    """The judge, and the counter that reads its features."""
    train_judge(runs / "judge", runs / VAE_FILE, timed.settings("judge"), start, machine)
    train_counter(runs / "counter", runs / VAE_FILE, runs / JUDGE_FILE, timed.settings("counter"), machine)


class Timed:
    """A recipe whose parts end at shares of so many minutes from now."""

    def __init__(self, recipe: Recipe, ends: Mapping[str, float], minutes: float) -> None:
        self.recipe, self.ends, self.minutes, self.started = recipe, ends, minutes, time.monotonic()

    def settings(self, part: str) -> Any:
        """The settings of a part that begins now, with the minutes that are left for it."""
        left = self.ends[part] * self.minutes - (time.monotonic() - self.started) / 60
        return replace(getattr(self.recipe, part), minutes=max(left, 1 / 60))


def share_drawers(machine: Machine) -> tuple[Machine, Machine]:
    """The machine with the processes that draw for the denoiser, and with those that draw for the judge."""
    others = machine.drawers // 3
    return replace(machine, drawers=machine.drawers - others), replace(machine, drawers=others)


def log_to_console() -> None:
    """Say what this process does as the command does."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")


@contextmanager
def tuned_convolutions(device: str) -> Iterator[None]:
    """Let cuDNN try its algorithms once for every shape, for as long as this lasts."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = device != "cpu"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
