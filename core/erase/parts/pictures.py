"""Pictures of what is erased, or of its anchor, for methods that train on some: given, or drawn by the model."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone import Backbone
from ...sampling import draw_each
from .task import EraseTask

BATCH = 4


class Draws(Protocol):
    """The settings by which pictures are drawn."""

    @property
    def templates(self) -> tuple[str, ...]: ...
    @property
    def side(self) -> int: ...
    @property
    def sampling_steps(self) -> int: ...
    @property
    def guidance(self) -> float: ...


@dataclass(frozen=True, eq=False)
class TaskPictures:
    """Pictures of what a task names.

    Attributes:
        latents: (N, C, h, w) scaled latents.
        concepts: N, which of the task's concepts each belongs to.
    """

    latents: Tensor
    concepts: tuple[int, ...]


def pictures_of_task(
    task: EraseTask, settings: Draws, count: int, generator: torch.Generator, anchors: bool = False
) -> TaskPictures:
    """The pictures of a task, or as many drawn for each concept where none were given.

    Given pictures are divided among the concepts in their order, made no larger than the settings' side, and each is
    mirrored or not at random, once. No gradients.

    Args:
        task: what to erase.
        settings: how pictures are drawn, and their side.
        count: how many to draw for each concept.
        generator: the random source.
        anchors: draw the concepts' anchors instead; a concept without one has the empty text.

    Raises ``ValueError`` for a number of pictures that cannot be divided among the concepts.
    """
    given = task.training.pictures
    if given is None:
        return _drawn(task, settings, count, generator, anchors)
    concepts = len(task.pairs)
    if len(given) % concepts:
        raise ValueError(
            f"{len(given)} pictures cannot be divided among {concepts} concepts; give as many of each concept, in the "
            "order of the concepts"
        )
    mirrored = torch.rand(len(given), generator=generator) < 0.5
    latents = [
        _encoded(task.backbone, one[None], settings.side, bool(m)) for one, m in zip(given, mirrored, strict=True)
    ]
    each = len(given) // concepts
    return TaskPictures(torch.cat(latents), tuple(index // each for index in range(len(given))))


def sentence(settings: Draws, template: int, word: str) -> str:
    """A word in one of the settings' sentences; the empty word is the empty text."""
    return settings.templates[template].replace("{}", word) if word else ""


@torch.no_grad()
def _encoded(backbone: Backbone, picture: Tensor, side: int, mirrored: bool) -> Tensor:
    """(1, C, h, w) of a picture (1, 3, H, W) whose shorter side is at most ``side``."""
    height, width = picture.shape[-2:]
    scale = side / min(height, width)
    picture = picture.float().clone()
    if scale < 1:
        size = (round(height * scale), round(width * scale))
        picture = F.interpolate(picture, size=size, mode="bicubic", antialias=True).clamp(0, 1)
    return backbone.encode_image(picture.flip(-1) if mirrored else picture).float().clone()


@torch.no_grad()
def _drawn(task: EraseTask, settings: Draws, count: int, generator: torch.Generator, anchors: bool) -> TaskPictures:
    """Pictures by the model as it is (DDIM), each concept's in sentences that take turns."""
    backbone, cells = task.backbone, max(1, settings.side // task.backbone.latent_downscale)
    concepts = tuple(index for index in range(len(task.pairs)) for _ in range(count))
    texts = [
        sentence(settings, turn % len(settings.templates), task.pairs[index][1 if anchors else 0])
        for turn, index in enumerate(concepts)
    ]
    seeds = torch.randint(2**31, (len(texts),), generator=generator).tolist()
    steps, guidance, drawn = settings.sampling_steps, settings.guidance, []
    for first in range(0, len(texts), BATCH):
        batch, own = texts[first : first + BATCH], seeds[first : first + BATCH]
        drawn.append(
            draw_each(backbone, batch, (cells, cells), task.placeholders, steps=steps, guidance=guidance, seed=own)
        )
    return TaskPictures(torch.cat(drawn).float().clone(), concepts)
