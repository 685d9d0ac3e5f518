"""Scenes made ready for training: latents and captions, drawn before it and kept, or drawn while it goes on."""

import logging
import random
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..core.files import load_tensors, save_tensors
from ..lab.model.modules import CONTEXT_LENGTH, load_tokenizer
from ..lab.model.vae import DOWNSCALE, SCALING_FACTOR, LabVAE
from ..lab.world.scene import SceneSettings, caption_again, sample_scene
from .common import to_tensor

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
    return (vae.encode(to_tensor(pictures, device)) * SCALING_FACTOR).half()


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
    """Scenes of an order that other processes draw, before training and while it goes on; trained on as they come.

    Args:
        order: of the scenes.
        device: where their latents are kept.
    """

    def __init__(self, order: SceneOrder, device: str) -> None:
        height, width = (side // DOWNSCALE for side in order.settings.size)
        self.order, self.device = order, device
        self.latents = torch.zeros(order.count, 4, height, width, dtype=torch.float16, device=device)
        self.tokens = torch.zeros(order.count, order.captions, CONTEXT_LENGTH, dtype=torch.int16, device=device)
        self.arrived = 0
        self.pending: set[Drawn] = set()
        self._vae: LabVAE | None = None

    def encode_with(self, vae: LabVAE) -> "SceneStream":
        """Encode scenes with this autoencoder, which lies on the device, from now on."""
        self._vae = vae
        return self

    def sample(self, batch: int) -> tuple[Tensor, Tensor]:
        """As of :class:`LatentScenes`, from the scenes that have arrived; waits for the first."""
        ready, self.pending = wait(self.pending, None if self.arrived == 0 else 0, FIRST_COMPLETED)
        for future in ready:
            self._keep(*future.result())
        return pick(self.latents, self.tokens, self.arrived, batch)

    def _keep(self, pictures: np.ndarray, tokens: np.ndarray) -> None:
        if self._vae is None:
            raise RuntimeError("scenes of a stream are sampled after encode_with")
        at = slice(self.arrived, self.arrived + len(pictures))
        self.latents[at] = encode_pictures(self._vae, pictures, self.device)
        self.tokens[at] = torch.from_numpy(tokens).to(self.device)
        self.arrived += len(pictures)


Drawn = Future[tuple[np.ndarray, np.ndarray]]
"""What :func:`draw_pictures` of an order will be."""


def draw_ahead(orders: Sequence[SceneOrder], device: str, executor: Executor) -> list[SceneStream]:
    """A stream of each order, whose scenes the executor begins to draw now: of all streams side by side, so that none
    waits for another to be complete."""
    streams = [SceneStream(order, device) for order in orders]
    queues = []
    for number, order in enumerate(orders):
        chunks = order.chunks()
        queues.append([(position / len(chunks), number, chunk) for position, chunk in enumerate(chunks)])
    for _, number, chunk in merge(*queues, key=lambda entry: entry[:2]):
        streams[number].pending.add(executor.submit(draw_pictures, chunk))
    return streams


Scenes = Sequence[LatentScenes | SceneStream]
"""What is trained on, by pool."""
