"""Train the image tower against the text encoder, which stays as it is: a picture must find its own caption."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.files import load_tensors, save_tensors
from ..model.image_tower import SIDE, ContrastivePair
from ..world.atlas import load_atlas
from ..world.scene import SceneSettings
from .common import Run, cosine_rate, save_sheet, to_tensor
from .dataset import SceneOrder, draw_pictures
from .machine import CPU, Machine

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class TowerSettings:
    """``samples`` counts caption-picture pairs, and ``minutes`` ends the training earlier; pictures are seen at
    ``side`` pixels, ``pool`` of them drawn once; retrieval is measured among ``judged`` development scenes."""

    samples: int = 64_000
    minutes: float | None = None
    batch: int = 128
    side: int = SIDE
    pool: int = 16_000
    learning_rate: float = 1.5e-3
    temperature: float = 0.07
    seed: int = 0
    save_every: int = 16_000
    judged: int = 256


@dataclass(frozen=True, eq=False)
class Pairs:
    """``pictures`` (N, 3, side, side) in -1..1; ``tokens`` (N, 77); ``said`` (N, width), what the text encoder makes
    of each caption at its end."""

    pictures: Tensor
    tokens: Tensor
    said: Tensor


def contrast(similarity: Tensor, tokens: Tensor) -> Tensor:
    """InfoNCE both ways (Radford et al. 2021, sec. 2.3); equal captions in a batch count as equally right."""
    same = (tokens[:, None] == tokens[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))


@torch.no_grad()
def draw_pairs(
    pair: ContrastivePair, count: int, side: int, split: str, first_seed: int, machine: Machine = CPU
) -> Pairs:
    """Scenes of all hands, seeds ``first_seed`` and on, with what the text encoder says of their captions."""
    hands = load_atlas().hands
    settings = SceneSettings(
        size=(side, side), counts=(1, 1, 2, 3), synonyms=0.45, tinted=0.25, alike=0.1, hands=hands, complete=0.4
    )
    drawn = machine.each(draw_pictures, SceneOrder(settings, first_seed, count, 1, split).chunks())
    tokens = torch.from_numpy(np.concatenate([ids[:, 0] for _, ids in drawn])).long().to(machine.device)
    said = torch.cat([pair.read_text(part) for part in tokens.split(128)])
    pictures = to_tensor(np.concatenate([pictures for pictures, _ in drawn])).to(machine.device)
    return Pairs(pictures, tokens, said)


def train_tower(folder: Path, text: Path, settings: TowerSettings, machine: Machine = CPU) -> None:
    """Train, or go on training, the image tower in a folder; ends with ``image_tower.safetensors`` of the average.

    Args:
        text: file of the text encoder.
    """
    torch.manual_seed(settings.seed)
    pair = ContrastivePair(settings.temperature)
    pair.text.load_state_dict({key: value.float() for key, value in load_tensors(text)[0].items()})
    pair.text.requires_grad_(False)
    pair.to(machine.device)
    learnt = [parameter for parameter in pair.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=settings.learning_rate, weight_decay=0.02)
    run = Run(folder, {"pair": pair}, optimiser, asdict(settings), ema_decay=0.995)
    log.info("drawing %d pictures", settings.pool)
    pairs = draw_pairs(pair, settings.pool, settings.side, "train", 10_000_000, machine)
    held = draw_pairs(pair, settings.judged, settings.side, "development", 0, machine)
    choose = torch.Generator().manual_seed(settings.seed + run.samples)
    steps = 0
    while (done := run.progress(settings.samples, settings.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(done)
        picked = torch.randint(0, len(pairs.pictures), (settings.batch,), generator=choose)
        similarity = pair.compare(pairs.pictures[picked], pairs.said[picked])
        loss = contrast(similarity, pairs.tokens[picked])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        run.advance(settings.batch)
        steps += 1
        if steps % 25 == 0:
            right = (similarity.argmax(1).cpu() == torch.arange(settings.batch)).float().mean()
            run.note(loss=loss.item(), top1_train=right.item())
        if run.samples % settings.save_every < settings.batch:
            checkpoint(run, settings, held)
    checkpoint(run, settings, held)


@torch.no_grad()
def checkpoint(run: Run, settings: TowerSettings, held: Pairs) -> None:
    """Save the state, measure retrieval among development scenes, write the tower's average."""
    pair = ContrastivePair(settings.temperature).to(held.pictures.device)
    pair.load_state_dict(run.average("pair"))
    similarity = pair.compare(held.pictures, held.said)
    right = (similarity.argmax(1).cpu() == torch.arange(len(held.tokens))).float().mean()
    run.note(top1_development=right.item(), loss_development=contrast(similarity, held.tokens).item())
    save_tensors(run.folder / "image_tower.safetensors", pair.cpu().tower_state())
    best = similarity.argmax(1)[:8]
    save_sheet(run.folder / "pictures.png", [held.pictures[:8], held.pictures[best]])
    run.save()
