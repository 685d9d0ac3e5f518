"""What a denoiser is trained on: pools of scenes, and their shares; and the loop that takes steps on them.

Most samples are whole scenes of one to three objects. A scene of 64x64 pixels holds one object at the same size in
pixels and costs a quarter; pairs on half a picture cost half.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..lab.model.vae import LabVAE
from ..lab.world.scene import SceneSettings
from .common import Run
from .dataset import LatentScenes, SceneOrder, Scenes, cached_scenes
from .team import Team

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class Pool:
    """``count`` scenes of these settings, drawn once from ``first_seed`` on, trained on in batches of ``batch``."""

    name: str
    scenes: SceneSettings
    count: int
    batch: int
    first_seed: int


def pool(name: str, size: tuple[int, int], count: int, batch: int, first_seed: int, **settings: Any) -> Pool:
    """A pool whose scenes now and then touch, cover one another or are alike, and are tinted often enough to learn
    what colours are and whose they are."""
    varied = {"tinted": 0.2, "bound": 0.12, "alike": 0.1, "touching": 0.12, "covered": 0.04, "synonyms": 0.35}
    return Pool(name, SceneSettings(size=size, **{**varied, **settings}), count, batch, first_seed)


WHOLE = pool("whole", (128, 128), 24_000, 24, 12_000_000, counts=(1, 1, 2, 2, 2, 3, 3))
WIDE = pool("wide", (64, 128), 9_000, 32, 13_000_000, counts=(2,), sides=(0.66, 0.94))
TALL = pool("tall", (128, 64), 9_000, 32, 14_000_000, counts=(2,), sides=(0.66, 0.94))
CLOSE_UP = pool("closeup", (64, 64), 12_000, 64, 11_000_000, counts=(1,), sides=(0.7, 1.0))
MIXTURE = ((WHOLE, 0.6), (WIDE, 0.125), (TALL, 0.125), (CLOSE_UP, 0.15))
PROMPTS = (
    "a cat in flat style on blue",
    "a rocket in outline style on yellow",
    "a butterfly in neon style on white",
    "a strawberry in sketch style on green",
    "a photo of a blue crab",
    "an umbrella and a lion",
    "a red house and a blue car in flat style on grey",
    "a robot on the left and a pizza on the right in flat style",
    "a cat, a fish and a tree",
    "two frogs on pink",
)


class MixtureSettings(Protocol):
    """What the loop needs of a denoiser's settings; see :class:`.unet.UnetSettings`."""

    @property
    def mixture(self) -> tuple[tuple[Pool, float], ...]: ...
    @property
    def samples(self) -> int: ...
    @property
    def minutes(self) -> float | None: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def cool_from(self) -> float: ...
    @property
    def captions(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def save_every(self) -> int: ...
    @property
    def sheet_every(self) -> int: ...
    @property
    def note_every(self) -> int: ...


def order_of(pool: Pool, settings: MixtureSettings, after: int = 0) -> SceneOrder:
    """The pool's scenes; a run that goes on after so many samples gets others."""
    return SceneOrder(pool.scenes, pool.first_seed + after, pool.count, settings.captions)


def orders_of(settings: MixtureSettings, after: int = 0) -> list[SceneOrder]:
    """Of every pool of the mixture."""
    return [order_of(pool, settings, after) for pool, _ in settings.mixture]


def draw_pools(folder: Path, vae: LabVAE, settings: MixtureSettings, team: Team) -> list[LatentScenes]:
    """The scenes of every pool, from their files or drawn now by the team together."""

    def scenes(pool: Pool) -> LatentScenes:
        return cached_scenes(folder / f"scenes-{pool.name}.safetensors", vae, order_of(pool, settings))

    for number, (pool, _) in enumerate(settings.mixture):
        if min(number, 1) % team.size == team.rank:  # the first pool costs about as much as all others
            scenes(pool)
    team.wait()
    return [scenes(pool) for pool, _ in settings.mixture]


LossOf = Callable[[int, tuple[Tensor, Tensor], float], Tensor]
"""Number of the pool, latents and ids of a batch, and the share of the training that is behind, to the loss."""


Shares = Callable[[float], Sequence[float]]
"""The share of the training that is behind, to each pool's share of the samples."""


def train_mixture(
    run: Run,
    scenes: Scenes,
    settings: MixtureSettings,
    team: Team,
    loss_of: LossOf,
    save: Callable[[bool], None],
    shares: Shares | None = None,
) -> None:
    """Train to the end; every step takes one pool, so that its pictures share a size.

    Args:
        scenes: of each pool.
        save: writes the state, and draws a sheet where that is asked for.
        shares: of the pools, where those of the settings do not hold throughout.
    """
    batches = torch.tensor([float(pool.batch) for pool, _ in settings.mixture])
    wanted = shares or (lambda done: [share for _, share in settings.mixture])
    choice = torch.Generator().manual_seed(settings.seed + run.samples)  # the same pool for all of the team
    losses: list[Tensor] = []
    done = team.agree(run.progress(settings.samples, settings.minutes))
    while done < 1:
        odds = torch.tensor(wanted(done)) / batches
        number = int(torch.multinomial(odds, 1, generator=choice))
        batch = settings.mixture[number][0].batch
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * group["share"] * rate(done, len(losses), settings.cool_from)
        losses.append(take_step(run, loss_of(number, scenes[number].sample(batch), done), team))
        before = run.samples
        run.advance(batch * team.size)
        if len(losses) % settings.note_every == 0:
            run.note(loss=float(torch.stack(losses[-settings.note_every :]).mean()), progress=done)
        if before // settings.save_every < run.samples // settings.save_every:
            every = settings.sheet_every
            save(every > 0 and before // every < run.samples // every)
        done = team.agree(run.progress(settings.samples, settings.minutes))


def take_step(run: Run, loss: Tensor, team: Team) -> Tensor:
    """One step down a loss; returns it."""
    parameters = [parameter for group in run.optimiser.param_groups for parameter in group["params"]]
    run.optimiser.zero_grad()
    loss.backward()
    team.share_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    run.optimiser.step()
    return loss.detach()


def rate(done: float, steps: int, cool_from: float) -> float:
    """Warm up over 100 steps, hold, then let down to zero as 1 - sqrt (Hagele et al. 2024, arXiv 2405.18392)."""
    warm = min(1.0, (steps + 1) / 100)
    cooled = max(0.0, min(1.0, done) - cool_from) / (1 - cool_from)
    return warm * (1 - cooled**0.5)
