"""Train the text encoder by contrast with a small image tower: a caption must find its own picture in the batch."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.files import save_tensors
from ..model.modules import TEXT_WIDTH, build_text_encoder
from ..model.vae import ResidualBlock
from ..world.scene import SceneSettings, sample_scene
from .common import Run, save_sheet, to_tensor
from .dataset import tokenize

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class TextSettings:
    """``samples`` counts caption-picture pairs; pictures are seen at ``side`` pixels, ``pool`` of them drawn once;
    retrieval is measured among ``judged`` development scenes."""

    samples: int = 64_000
    batch: int = 128
    side: int = 64
    pool: int = 12_000
    learning_rate: float = 1e-3
    temperature: float = 0.07
    seed: int = 0
    save_every: int = 16_000
    judged: int = 256


class ImageTower(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 to unit vectors (B, width)."""

    def __init__(self, width: int = TEXT_WIDTH) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, 48, 3, padding=1),
            ResidualBlock(48),
            nn.Conv2d(48, 96, 3, stride=2, padding=1),
            ResidualBlock(96),
            nn.Conv2d(96, 160, 3, stride=2, padding=1),
            ResidualBlock(160),
        )
        self.project = nn.Linear(2 * 160, width)

    def forward(self, picture: Tensor) -> Tensor:
        features = self.stages(picture)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return F.normalize(self.project(pooled), dim=1)


class ContrastivePair(nn.Module):
    """A text encoder, its projection and an image tower."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.text = build_text_encoder()
        self.text_projection = nn.Linear(TEXT_WIDTH, TEXT_WIDTH, bias=False)
        self.image = ImageTower()
        self.log_scale = nn.Parameter(torch.tensor(1 / temperature).log())

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token ids (B, L) to unit vectors; cut after the longest caption, which causality allows."""
        end = tokens.eq(self.text.config.eos_token_id).int().argmax(1)
        states = self.text(tokens[:, : int(end.max()) + 1]).last_hidden_state
        return F.normalize(self.text_projection(states[torch.arange(len(tokens)), end]), dim=1)

    def forward(self, picture: Tensor, tokens: Tensor) -> Tensor:
        """Similarities (B, B), rows pictures, columns captions, times the scale."""
        return self.log_scale.exp().clamp(max=100) * self.image(picture) @ self.encode_text(tokens).T


def contrast(similarity: Tensor, tokens: Tensor) -> Tensor:
    """InfoNCE both ways (Radford et al. 2021, sec. 2.3); equal captions in a batch count as equally right."""
    same = (tokens[:, None] == tokens[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    return 0.5 * (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target))


def draw_pairs(count: int, side: int, split: str, first_seed: int) -> tuple[np.ndarray, Tensor]:
    """Pictures (count, side, side, 3) uint8 and token ids (count, 77)."""
    settings = SceneSettings(size=(side, side), counts=(1, 1, 2, 3), synonyms=0.45, tinted=0.25)
    scenes = [sample_scene(split, first_seed + i, settings) for i in range(count)]
    return np.stack([scene.picture for scene in scenes]), tokenize([scene.caption for scene in scenes])


def train_text(folder: Path, settings: TextSettings) -> None:
    """Train, or go on training, the text encoder in a folder; ends with ``text_encoder.safetensors`` of the average."""
    torch.manual_seed(settings.seed)
    pair = ContrastivePair(settings.temperature)
    optimiser = torch.optim.AdamW(pair.parameters(), lr=settings.learning_rate, weight_decay=0.02)
    run = Run(folder, {"pair": pair}, optimiser, asdict(settings), ema_decay=0.995)
    log.info("drawing %d pictures", settings.pool)
    pictures, tokens = draw_pairs(settings.pool, settings.side, "train", 10_000_000)
    held = draw_pairs(settings.judged, settings.side, "development", 0)
    choose = np.random.default_rng(settings.seed + run.samples)
    steps = 0
    while run.samples < settings.samples:
        for group in optimiser.param_groups:
            warm = min(1.0, (steps + 1) / 100)
            group["lr"] = settings.learning_rate * warm * 0.5 * (1 + np.cos(np.pi * run.samples / settings.samples))
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
    save_tensors(run.folder / "image_tower.safetensors", pair.image.state_dict())
    best = similarity.argmax(1)[:8]
    save_sheet(run.folder / "pictures.png", [to_tensor(pictures[:8]), to_tensor(pictures[best.numpy()])])
    run.save()
