"""Train the image tower against the text encoder, which stays as it is: a picture must find its own caption."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.files import load_tensors, save_tensors
from ..lab.model.image_tower import SIDE, ContrastivePair
from ..lab.world.atlas import load_atlas
from ..lab.world.scene import SceneSettings
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
    """``pictures`` (N, 3, side, side) in -1..1; ``tokens`` (N, 77); ``text_features`` (N, width), the text encoder's
    output at the end of each caption."""

    pictures: Tensor
    tokens: Tensor
    text_features: Tensor


def contrast(similarity: Tensor, tokens: Tensor) -> Tensor:
    """InfoNCE both ways (Radford et al. 2021, sec. 2.3); equal captions in a batch count as equally right."""
    same = (tokens[:, None] == tokens[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))


def training_order(settings: TowerSettings) -> SceneOrder:
    """The scenes that are trained on."""
    return order_of(settings.side, settings.pool, "train", 10_000_000)


def order_of(side: int, count: int, split: str, first_seed: int) -> SceneOrder:
    """Scenes of all hands, seeds ``first_seed`` and on."""
    hands = load_atlas().hands
    scenes = SceneSettings(
        size=(side, side), counts=(1, 1, 2, 3), synonyms=0.45, tinted=0.25, alike=0.1, hands=hands, complete=0.4
    )
    return SceneOrder(scenes, first_seed, count, 1, split)


@torch.no_grad()
def read_pairs(pair: ContrastivePair, drawn: Iterable[tuple[np.ndarray, np.ndarray]], device: str) -> Pairs:
    """Drawn scenes on the device, with what the text encoder, which lies there, says of their captions."""
    pictures, ids = zip(*drawn, strict=True)
    tokens = torch.from_numpy(np.concatenate(ids)[:, 0]).long().to(device)
    text_features = torch.cat([pair.read_text(part) for part in tokens.split(128)])
    return Pairs(to_tensor(np.concatenate(pictures), device), tokens, text_features)


def train_tower(
    folder: Path,
    text: Path,
    settings: TowerSettings,
    machine: Machine = CPU,
    drawn: Iterable[tuple[np.ndarray, np.ndarray]] | None = None,
) -> None:
    """Train, or go on training, the image tower in a folder; ends with ``image_tower.safetensors`` of the average.

    Args:
        text: file of the text encoder.
        drawn: scenes of :func:`training_order`, where somebody draws them already.
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
    drawn = machine.each(draw_pictures, training_order(settings).chunks()) if drawn is None else drawn
    pairs = read_pairs(pair, drawn, machine.device)
    held_back = order_of(settings.side, settings.judged, "development", 0)
    held = read_pairs(pair, [draw_pictures(chunk) for chunk in held_back.chunks()], machine.device)
    choose = torch.Generator().manual_seed(settings.seed + run.samples)
    steps = 0
    while (done := run.progress(settings.samples, settings.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(done)
        picked = torch.randint(0, len(pairs.pictures), (settings.batch,), generator=choose)
        similarity = pair.compare(pairs.pictures[picked], pairs.text_features[picked])
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
    similarity = pair.compare(held.pictures, held.text_features)
    right = (similarity.argmax(1).cpu() == torch.arange(len(held.tokens))).float().mean()
    run.note(top1_development=right.item(), loss_development=contrast(similarity, held.tokens).item())
    save_tensors(run.folder / "image_tower.safetensors", pair.cpu().tower_state())
    best = similarity.argmax(1)[:8]
    save_sheet(run.folder / "pictures.png", [held.pictures[:8], held.pictures[best]])
    run.save()
