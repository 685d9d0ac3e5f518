"""The fine-tunes of ``bench surgery``: two new objects, everything in one style, and one object in a new colour.

Each is a LoRA of all attention layers, trained on scenes of the world by the loss of denoising, and kept with the
rows of the benches. Half of the pictures show other things as they are, so that a skill stays with its word, but for
the style, which is to be everywhere.
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...core.backbone import Backbone
from ...core.files import load_tensors, save_tensors
from ...core.learn.engine.loop import LoopSettings, draw_timesteps, optimise
from ...core.learn.parts.adapter import start_adapter
from ...core.sampling import with_rows
from ...core.types import LowRank
from ...lab.model.weights import WEIGHTS
from ...lab.world.atlas import ObjectKind, load_atlas
from ...lab.world.backgrounds import COLOURS as GROUNDS
from ...lab.world.backgrounds import Background
from ...lab.world.captions import Phrase, write_caption
from ...lab.world.scene import Look, SceneSettings, compose
from ..drawing import SIDE
from ..harness import CACHE

RANK, STEPS, RATE, BATCH, PICTURES = 16, 120, 5e-3, 8, 32
VERSION = 1
"""Raise it with any change of this file that changes what is trained."""
STYLE, COLOUR = "sketch", "purple"


@dataclass(frozen=True)
class Tune:
    """A fine-tune and what it must do.

    Attributes:
        name: of the skill.
        kind: the object that it draws, or by which it is judged.
        style: in which everything is drawn; None for the usual one.
        colour: in which the object is drawn; None for its own.
    """

    name: str
    kind: ObjectKind
    style: str | None = None
    colour: str | None = None

    def scenes(self) -> list[tuple[Tensor, str]]:
        """Pictures (1, 3, H, W) with their captions."""
        rng = random.Random(f"tune:{self.name}:{self.kind.name}")
        others = [kind for kind in load_atlas().of_split("train") if kind != self.kind]
        found = []
        for number in range(PICTURES):
            own = self.style is not None or number % 2 == 0
            kind = (
                rng.choice([*others, self.kind]) if self.style is not None else self.kind if own else rng.choice(others)
            )
            colour = self.colour if own else None
            found.append(_scene(rng, kind, self.style or "flat", colour))
        return found


def tunes(split: str) -> list[Tune]:
    """Two objects that the model has never seen, a style, and an object that it knows in a new colour."""
    atlas = load_atlas()
    first, second = atlas.of_split(split)[:2]
    return [
        Tune("object A", first),
        Tune("object B", second),
        Tune("style", atlas.kind("dog"), style=STYLE),
        Tune("colour", atlas.kind("cat"), colour=COLOUR),
    ]


def tuned(backbone: Backbone, tune: Tune, cache: Path | None = CACHE) -> dict[str, LowRank]:
    """The LoRA of a fine-tune, trained or from the cache."""
    path = cache / f"surgery-{_digest(tune)}.safetensors" if cache else None
    if path is not None and path.exists():
        tensors = load_tensors(path)[0]
        names = sorted({name.rpartition("/")[0] for name in tensors})
        return {name: LowRank(tensors[f"{name}/up"], tensors[f"{name}/down"]) for name in names}
    found = train(backbone, tune.scenes(), RANK, "all", STEPS, RATE)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        halves = {f"{name}/{half}": getattr(one, half) for name, one in found.items() for half in ("up", "down")}
        save_tensors(path, {name: half.contiguous() for name, half in halves.items()})
    return found


def train(
    backbone: Backbone,
    scenes: Sequence[tuple[Tensor, str]],
    rank: int,
    layers: str,
    steps: int,
    rate: float,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, LowRank]:
    """A LoRA trained on pictures with captions; ``wanted`` names the weights that it may change."""
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(0)
        bank = start_adapter(backbone, rank, layers, generator=generator)  # type: ignore[arg-type]
        bank = type(bank)({name: one for name, one in bank.factors.items() if wanted(name)}, bank.untouched)
        with torch.no_grad():
            latents = torch.cat([backbone.encode_image(picture) for picture, _ in scenes])
            texts = torch.cat([backbone.encode_text([text]).context for _, text in scenes])
            like = backbone.encode_text([""])
        schedule = backbone.schedule

        def loss_of(step: int) -> Tensor:
            rows = torch.randint(len(latents), (BATCH,), generator=generator)
            times = draw_timesteps(schedule.steps, (0.0, 1.0), BATCH, generator, even=True)
            noise = torch.randn(latents[rows].shape, generator=generator)
            noisy, target = schedule.add_noise(latents[rows], noise, times), schedule.target(latents[rows], noise)
            text = type(like)(texts[rows], with_rows(like, BATCH).extras)
            with bank.in_force(backbone):
                return (backbone.predict_target(noisy, times, text) - target).square().mean()

        optimise(bank.parameters(), loss_of, LoopSettings(steps, rate, final_rate=0.1))
        return bank.snapshot()


def _scene(rng: random.Random, kind: ObjectKind, style: str, colour: str | None) -> tuple[Tensor, str]:
    ground = Background(rng.choice(list(GROUNDS)))
    look = Look(kind.name, style, colour, kind.name)
    picture, _ = compose(rng, [look], ground, SceneSettings(size=(SIDE, SIDE), counts=(1,)))
    caption = write_caption(rng, [Phrase(kind.name)], background=ground.words)
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255, caption


def _digest(tune: Tune) -> str:
    """Of all that decides a fine-tune: what it is, how it is trained, and the model."""
    how = (VERSION, RANK, STEPS, RATE, BATCH, PICTURES)
    state = hashlib.sha256(f"{tune.name} {tune.kind.name} {tune.style} {tune.colour} {how}".encode())
    for path in sorted(WEIGHTS.rglob("*.safetensors")):
        state.update(path.read_bytes())
    return state.hexdigest()[:16]
