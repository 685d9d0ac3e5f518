"""Scenes with known masks, balanced over the number of objects and the kind of background."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..lab.world.atlas import ObjectKind
from ..lab.world.backgrounds import sample_background
from ..lab.world.scene import Look, Scene, SceneSettings, compose, sample_scene

COUNTS = (1, 2, 3, 4)
SEEDS_PER_RUN = 1_000_003  # so that runs with neighbouring seeds share no scene


@dataclass(frozen=True, eq=False)
class Case:
    """One scene as tensors.

    Attributes:
        seed: the scene's own.
        picture: (1, 3, H, W) in 0..1.
        masks: (M, H, W) bool, disjoint.
        names: what the objects are.
        background: ``plain`` or ``patterned``.
        caption: the scene's own.
    """

    seed: int
    picture: Tensor
    masks: Tensor
    names: tuple[str, ...]
    background: str
    caption: str = ""


def make_case(
    split: str,
    index: int,
    seed: int,
    size: tuple[int, int],
    unseen: bool,
    **changes: Any,
) -> Case:
    """The index-th case of a run: 1 to 4 objects in turn, four on plain backgrounds and four on patterned ones.

    Args:
        changes: of the scene's settings.

    Raises:
        ValueError: for a split that does not exist, or unseen objects of the training split.
    """
    settings = SceneSettings(
        size=size,
        counts=(COUNTS[index % len(COUNTS)],),
        patterned=float(index // len(COUNTS) % 2),
        unseen=unseen,
        **changes,
    )
    own_seed = seed * SEEDS_PER_RUN + index
    return case_of(sample_scene(split, own_seed, settings), own_seed)


def composed_case(
    rng: random.Random, kinds: Sequence[ObjectKind], styles: Sequence[str], seed: int, size: tuple[int, int]
) -> Case:
    """These objects in these styles before a new background; the generator alone decides the picture."""
    background = sample_background(rng, 0.5)
    looks = [Look(kind.name, style, None, kind.name) for kind, style in zip(kinds, styles, strict=True)]
    picture, objects = compose(rng, looks, background, SceneSettings(counts=(len(kinds),), size=size))
    return case_of(Scene(picture, "", objects, background), seed)


def tensor_of(picture: np.ndarray) -> Tensor:
    """A picture (H, W, 3) uint8 as (3, H, W) in 0..1."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


def case_of(scene: Scene, seed: int) -> Case:
    """A scene as a case."""
    picture = tensor_of(scene.picture)[None]
    masks = torch.from_numpy(np.stack([thing.mask for thing in scene.objects]))
    names = tuple(thing.name for thing in scene.objects)
    return Case(seed, picture, masks, names, scene.background.kind, scene.caption)
