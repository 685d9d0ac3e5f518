"""Scenes made ready for training: latents and captions, drawn once and kept, or drawn anew all the time."""

import logging
import random
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.files import load_tensors, save_tensors
from ..model.modules import CONTEXT_LENGTH, load_tokenizer
from ..model.vae import SCALING_FACTOR, LabVAE
from ..world.scene import SceneSettings, caption_again, sample_scene
from .common import to_tensor
from .machine import Machine

log = logging.getLogger("concept_atelier.lab")

CHUNK = 64
"""Scenes that are drawn and encoded at once."""


@dataclass(frozen=True, eq=False)
class LatentScenes:
    """``latents`` (N, 4, h, w) float16, scaled; ``tokens`` (N, captions, 77) int16, the ids of several captions of
    each."""

    latents: Tensor
    tokens: Tensor

    def sample(self, batch: int) -> tuple[Tensor, Tensor]:
        """Latents (B, 4, h, w) float and the ids of one caption of each, (B, 77) long."""
        return pick(self.latents, self.tokens, len(self.latents), batch)


@dataclass(frozen=True)
class SceneOrder:
    """``count`` scenes of a split, seeds ``first_seed`` and on, each with so many captions."""

    settings: SceneSettings
    first_seed: int
    count: int
    captions: int
    split: str = "train"

    def chunks(self) -> list["SceneOrder"]:
        """The same scenes in orders of ``CHUNK``."""
        return [
            replace(self, first_seed=self.first_seed + start, count=min(CHUNK, self.count - start))
            for start in range(0, self.count, CHUNK)
        ]


def pick(latents: Tensor, tokens: Tensor, among: int, batch: int) -> tuple[Tensor, Tensor]:
    """A random batch of the first so many scenes, each with a random one of its captions."""
    picked = torch.randint(0, among, (batch,), device=latents.device)
    caption = torch.randint(0, tokens.shape[1], (batch,), device=latents.device)
    return latents[picked].float(), tokens[picked, caption].long()


def tokenize(captions: list[str]) -> Tensor:
    """Captions to ids (N, 77), padded with the end token as SD1.5 pads."""
    encoded = load_tokenizer()(
        captions, padding="max_length", max_length=CONTEXT_LENGTH, truncation=True, return_tensors="pt"
    )
    return encoded.input_ids


def draw_pictures(order: SceneOrder) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, H, W, 3) uint8 and ids (N, captions, 77) int16 of an order."""
    pictures, said = [], []
    for seed in range(order.first_seed, order.first_seed + order.count):
        scene = sample_scene(order.split, seed, order.settings)
        rng = random.Random(f"captions:{seed}")
        again = [caption_again(rng, scene, order.settings) for _ in range(order.captions - 1)]
        pictures.append(scene.picture)
        said.append(tokenize([scene.caption, *again]).short().numpy())
    return np.stack(pictures), np.stack(said)


@torch.no_grad()
def encode_pictures(vae: LabVAE, pictures: np.ndarray, device: str = "cpu") -> Tensor:
    """Pictures (N, H, W, 3) uint8 to scaled latents, float16, on the device of the autoencoder."""
    return (vae.encode(to_tensor(pictures).to(device)) * SCALING_FACTOR).half()


def cached_scenes(path: Path, vae: LabVAE, order: SceneOrder) -> LatentScenes:
    """The scenes of an order, kept in a file; delete it after the autoencoder or the world changes."""
    if not path.exists():
        log.info("drawing %d scenes of %s", order.count, order.settings.size)
        drawn = [draw_pictures(chunk) for chunk in order.chunks()]
        latents = torch.cat([encode_pictures(vae, pictures) for pictures, _ in drawn])
        save_tensors(path, {"latents": latents, "tokens": torch.from_numpy(np.concatenate([ids for _, ids in drawn]))})
    tensors, _ = load_tensors(path)
    return LatentScenes(tensors["latents"], tensors["tokens"])


class SceneStream:
    """Scenes that other processes draw while training goes on; the newest ``order.count`` are kept on the device.

    Args:
        vae: on the machine's device.
        order: of the first scenes; seeds go on from there.
        executor: who draws.
    """

    def __init__(self, vae: LabVAE, order: SceneOrder, machine: Machine, executor: Executor) -> None:
        self.vae, self.device, self.executor, self.order = vae, machine.device, executor, order
        height, width = (side // 8 for side in order.settings.size)
        self.latents = torch.zeros(order.count, 4, height, width, dtype=torch.float16, device=self.device)
        self.tokens = torch.zeros(order.count, order.captions, CONTEXT_LENGTH, dtype=torch.int16, device=self.device)
        self.drawn, self.next_seed = 0, order.first_seed
        self.pending: set[Future[tuple[np.ndarray, np.ndarray]]] = set()
        for _ in range(2 * machine.drawers):
            self._order_more()

    def sample(self, batch: int) -> tuple[Tensor, Tensor]:
        """As of :class:`LatentScenes`; waits for the first scenes."""
        ready, self.pending = wait(self.pending, None if self.drawn == 0 else 0, FIRST_COMPLETED)
        for future in ready:
            self._keep(*future.result())
            self._order_more()
        return pick(self.latents, self.tokens, min(self.drawn, len(self.latents)), batch)

    def _order_more(self) -> None:
        order = replace(self.order, first_seed=self.next_seed, count=min(CHUNK, self.order.count))
        self.next_seed += order.count
        self.pending.add(self.executor.submit(draw_pictures, order))

    def _keep(self, pictures: np.ndarray, tokens: np.ndarray) -> None:
        """In place of the oldest."""
        at = (self.drawn + torch.arange(len(pictures), device=self.device)) % len(self.latents)
        self.latents[at] = encode_pictures(self.vae, pictures, self.device)
        self.tokens[at] = torch.from_numpy(tokens).to(self.device)
        self.drawn += len(pictures)


Scenes = Sequence[LatentScenes | SceneStream]
"""What is trained on, by pool."""
