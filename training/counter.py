"""Train the counter: where the middle of each cell's object is, by the features of a judge trained already."""

import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..core.files import load_tensors, save_tensors
from ..lab.judge.counter import CounterNet
from ..lab.judge.judge import Judge, build_network
from ..lab.judge.network import JudgeNet
from ..lab.judge.scenes import JudgedSettings
from ..lab.model.vae import LabVAE
from ..lab.world.atlas import load_atlas
from .common import Run, cosine_rate
from .judge import CALIBRATION_SEEDS, JudgedPool, draw_some, in_parts, restore_half, scaled
from .machine import CPU, Machine

log = logging.getLogger("concept_atelier.lab")

TRAINING_SEEDS = 6_000_000
LIKE = JudgedSettings(counts=(1, 2, 2, 3, 3, 4), tinted=0.4, alike=0.7, broken=0.0)
"""Scenes in which objects are often of one kind."""


@dataclass(frozen=True)
class CounterSettings:
    """Of each kind of ``scenes`` a pool of ``pool`` is drawn once, every second scene passed through the autoencoder.
    The share of counts that are right is measured on ``judged`` others of the first kind."""

    samples: int = 96_000
    minutes: float | None = None
    batch: int = 32
    pool: int = 3_000
    learning_rate: float = 3e-3
    seed: int = 0
    judged: int = 512
    scenes: tuple[JudgedSettings, ...] = (
        LIKE,
        replace(LIKE, sides=(0.24, 0.5)),
    )


def train_counter(
    folder: Path, vae_file: Path, judge_file: Path, settings: CounterSettings, machine: Machine = CPU
) -> None:
    """Train, or go on training, the counter in a folder; ends with ``counter.safetensors``."""
    vae, judge = LabVAE(), build_network()
    for module, file in ((vae, vae_file), (judge, judge_file)):
        module.load_state_dict({key: value.float() for key, value in load_tensors(file)[0].items()})
        module.to(machine.device).eval().requires_grad_(False)
    torch.manual_seed(settings.seed)
    counter = CounterNet().to(machine.device)
    optimiser = torch.optim.AdamW(counter.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    run = Run(folder, {"counter": counter}, optimiser, asdict(settings), ema_decay=0.998)
    if run.progress(settings.samples, settings.minutes) < 1:
        log.info("drawing %d scenes", settings.pool * len(settings.scenes))
        pools = [
            restore_half(vae, machine.each(draw_some, in_parts(settings.pool, first, scenes)), machine.device)
            for first, scenes in ((TRAINING_SEEDS + 100_000 * n, kind) for n, kind in enumerate(settings.scenes))
        ]
        train_on(run, judge, pools, settings)
    finish(run, vae, judge, settings)


def train_on(run: Run, judge: JudgeNet, pools: list[JudgedPool], settings: CounterSettings) -> None:
    """Train until the settings' number of samples, on the device of the pools; every batch from all of them."""
    features = torch.cat([read(judge, pool.pictures) for pool in pools])  # (N, D, h, w)
    middles = torch.cat([pool.middles for pool in pools])  # (N, 2, h, w)
    whole = torch.cat([in_objects(pool) for pool in pools])  # (N, h, w)
    random = torch.Generator().manual_seed(settings.seed + run.samples)
    steps = 0
    while (done := run.progress(settings.samples, settings.minutes)) < 1:
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(done)
        picked = torch.randint(0, len(features), (settings.batch,), generator=random)
        pointed = run.modules["counter"](features[picked])
        # The distance itself, not its square: a few cells that point far away must not decide.
        distance = ((pointed - middles[picked]).square().sum(1) + 1e-4).sqrt()  # (B, h, w)
        loss = distance[whole[picked]].mean()
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
        run.advance(settings.batch)
        steps += 1
        if steps % 50 == 0:
            run.note(loss=loss.item())


@torch.no_grad()
def read(judge: JudgeNet, pictures: Tensor) -> Tensor:
    """The judge's features (N, D, h, w) of uint8 pictures (N, 3, H, W)."""
    return torch.cat([judge(scaled(part)).features for part in pictures.split(32)])


def in_objects(pool: JudgedPool) -> Tensor:
    """(N, h, w) bool: the cells that belong to an object which is whole."""
    kinds = pool.labels[:, 0]
    return (kinds >= 0) & (kinds < len(load_atlas().kinds))


def finish(run: Run, vae: LabVAE, judge: JudgeNet, settings: CounterSettings) -> None:
    """Save the state and the average; note how many counts are right in scenes that were never seen."""
    counter = CounterNet().eval()
    counter.load_state_dict(run.average("counter"))
    save_tensors(run.folder / "counter.safetensors", counter.state_dict())
    names = tuple(kind.name for kind in load_atlas().kinds)
    drawn = [draw_some(task) for task in in_parts(settings.judged, CALIBRATION_SEEDS, settings.scenes[0])]
    device = str(next(vae.parameters()).device)
    pictures = restore_half(vae, drawn, device).pictures.cpu().float() / 255
    names_there = [scene.names for part in drawn for scene in part]
    right = counts_right(Judge(judge.cpu(), names, 0.5, counter), pictures, names_there)
    run.note(**{f"right_of_{number}": share for number, share in right.items()})
    run.save()


def counts_right(judge: Judge, pictures: Tensor, there: list[tuple[str, ...]]) -> dict[int, float]:
    """The share of kinds in pictures (N, 3, H, W) in 0..1 that the judge counts rightly, by how often each is there.

    Args:
        there: the name of every object in each picture.
    """
    reading = judge.look(pictures)
    answers: dict[int, list[bool]] = {}
    for row, names in enumerate(there):
        for name, number in Counter(names).items():
            answers.setdefault(number, []).append(reading.number_of(judge.index(name), row) == number)
    return {number: sum(given) / len(given) for number, given in sorted(answers.items())}
