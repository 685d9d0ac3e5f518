"""Scenes made ready for training: latents, captions and their encodings, drawn once and kept."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.files import load_tensors, save_tensors
from ..model.modules import CONTEXT_LENGTH, load_tokenizer
from ..model.vae import SCALING_FACTOR, LabVAE
from ..world.scene import Scene, SceneSettings, sample_scene
from .common import to_tensor

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True, eq=False)
class LatentScenes:
    """``latents`` (N, 4, h, w) float16, scaled; ``tokens`` (N, 77) int16, the captions' ids."""

    latents: Tensor
    tokens: Tensor


def tokenize(captions: list[str]) -> Tensor:
    """Captions to ids (N, 77), padded with the end token as SD1.5 pads."""
    encoded = load_tokenizer()(
        captions, padding="max_length", max_length=CONTEXT_LENGTH, truncation=True, return_tensors="pt"
    )
    return encoded.input_ids


@torch.no_grad()
def draw_scenes(vae: LabVAE, count: int, settings: SceneSettings, first_seed: int, batch: int = 64) -> LatentScenes:
    """Scenes of the training split, seeds ``first_seed`` and on, encoded."""
    latents, captions = [], []
    for start in range(0, count, batch):
        scenes: list[Scene] = [
            sample_scene("train", first_seed + start + i, settings) for i in range(min(batch, count - start))
        ]
        pictures = to_tensor(np.stack([scene.picture for scene in scenes]))
        latents.append((vae.encode(pictures) * SCALING_FACTOR).half())
        captions += [scene.caption for scene in scenes]
    return LatentScenes(torch.cat(latents), tokenize(captions).short())


def cached_scenes(path: Path, vae: LabVAE, count: int, settings: SceneSettings, first_seed: int) -> LatentScenes:
    """As :func:`draw_scenes`, kept in a file; delete it after the autoencoder changes."""
    if not path.exists():
        log.info("drawing %d scenes of %s", count, settings.size)
        scenes = draw_scenes(vae, count, settings, first_seed)
        save_tensors(path, {"latents": scenes.latents, "tokens": scenes.tokens})
    tensors, _ = load_tensors(path)
    return LatentScenes(tensors["latents"], tensors["tokens"])
