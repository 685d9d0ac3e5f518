"""Train the text encoder by contrast with a small image tower: a caption must find its own picture in the batch."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.files import save_tensors
from ..model.image_tower import SIDE, ContrastivePair
from ..model.weights import load_part
from ..world.scene import SceneSettings, sample_scene
from .common import Run, save_sheet, to_tensor
from .dataset import tokenize

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class TextSettings:
    """``samples`` counts caption-picture pairs; pictures are seen at ``side`` pixels, ``pool`` of them drawn once;
    retrieval is measured among ``judged`` development scenes.

    Where the text encoder starts from trained weights, it stays as it is for the first ``locked`` samples, in which
    only the tower learns, and learns at ``text_rate`` times the rate from then on: a denoiser knows it already.
    """

    samples: int = 48_000
    batch: int = 128
    side: int = SIDE
    pool: int = 16_000
    learning_rate: float = 1e-3
    locked: int = 12_000
    text_rate: float = 0.25
    temperature: float = 0.07
    seed: int = 0
    save_every: int = 16_000
    judged: int = 256


def contrast(similarity: Tensor, tokens: Tensor) -> Tensor:
    """InfoNCE both ways (Radford et al. 2021, sec. 2.3); equal captions in a batch count as equally right."""
    same = (tokens[:, None] == tokens[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))


def draw_pairs(count: int, side: int, split: str, first_seed: int) -> tuple[np.ndarray, Tensor]:
    """Pictures (count, side, side, 3) uint8 and token ids (count, 77)."""
    settings = SceneSettings(size=(side, side), counts=(1, 1, 2, 3), synonyms=0.45, tinted=0.25, alike=0.1)
    scenes = [sample_scene(split, first_seed + i, settings) for i in range(count)]
    return np.stack([scene.picture for scene in scenes]), tokenize([scene.caption for scene in scenes])


def train_text(folder: Path, settings: TextSettings, start: Path | None = None) -> None:
    """Train, or go on training, the text encoder in a folder; ends with ``text_encoder.safetensors`` of the average.

    Args:
        start: model folder whose text encoder a new run begins with; None begins at random weights.
    """
    torch.manual_seed(settings.seed)
    pair = ContrastivePair(settings.temperature)
    if start is not None:
        pair.text.load_state_dict(load_part(start, "text_encoder"))
    text = list(pair.text.parameters())
    others = [parameter for name, parameter in pair.named_parameters() if not name.startswith("text.")]
    optimiser = torch.optim.AdamW([{"params": others}, {"params": text}], lr=settings.learning_rate, weight_decay=0.02)
    run = Run(folder, {"pair": pair}, optimiser, asdict(settings), ema_decay=0.995)
    log.info("drawing %d pictures", settings.pool)
    pictures, tokens = draw_pairs(settings.pool, settings.side, "train", 10_000_000)
    held = draw_pairs(settings.judged, settings.side, "development", 0)
    choose = np.random.default_rng(settings.seed + run.samples)
    steps = 0
    while run.samples < settings.samples:
        rate = settings.learning_rate * min(1.0, (steps + 1) / 100)
        rate *= 0.5 * (1 + np.cos(np.pi * run.samples / settings.samples))
        known_text = 0.0 if run.samples < settings.locked else settings.text_rate
        for group, share in zip(optimiser.param_groups, (1.0, known_text if start else 1.0), strict=True):
            group["lr"] = rate * share
        picked = choose.integers(0, len(pictures), settings.batch)
        similarity = pair(to_tensor(pictures[picked]), tokens[picked])
        loss = contrast(similarity, tokens[picked])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(pair.parameters(), 1.0)
        optimiser.step()
        run.advance(settings.batch)
        steps += 1
        if steps % 25 == 0:
            right = (similarity.argmax(1) == torch.arange(settings.batch)).float().mean()
            run.note(loss=loss.item(), top1_train=right.item())
        if run.samples % settings.save_every < settings.batch:
            checkpoint(run, settings, held)
    checkpoint(run, settings, held)


@torch.no_grad()
def checkpoint(run: Run, settings: TextSettings, held: tuple[np.ndarray, Tensor]) -> None:
    """Save the state, measure retrieval among development scenes, write the text encoder's average."""
    pair = ContrastivePair(settings.temperature)
    pair.load_state_dict(run.emas["pair"].shadow)
    pictures, tokens = held
    similarity = pair(to_tensor(pictures), tokens)
    right = (similarity.argmax(1) == torch.arange(len(tokens))).float().mean()
    run.note(top1_development=right.item(), loss_development=contrast(similarity, tokens).item())
    save_tensors(run.folder / "text_encoder.safetensors", pair.text.state_dict())
    save_tensors(run.folder / "image_tower.safetensors", pair.tower_state())
    best = similarity.argmax(1)[:8]
    save_sheet(run.folder / "pictures.png", [to_tensor(pictures[:8]), to_tensor(pictures[best.numpy()])])
    run.save()
