"""What scenes may look like."""

import random
from dataclasses import dataclass

from .atlas import TRAINING_HAND

# Sides of objects as a share of the picture's shorter side, by how many there are.
SIZES = {1: (0.45, 0.66), 2: (0.42, 0.58), 3: (0.36, 0.48), 4: (0.30, 0.42)}


@dataclass(frozen=True)
class SceneSettings:
    """What scenes may look like.

    Attributes:
        size: (height, width) in pixels.
        counts: how many objects, one drawn at random.
        patterned: share of patterned backgrounds.
        tinted: share of objects with a colour attribute.
        synonyms: share of objects that the caption calls by a synonym, where there is one.
        gap: least distance between boxes, as a share of the shorter side (negative: they may overlap).
        sides: least and greatest side of an object as a share of the picture's shorter side; None takes ``SIZES``.
        unseen: draw objects of the split's own, which no model but the VAE has seen, instead of the training ones.
        touching: share of scenes whose objects touch one another, whatever the gap.
        alike: share of scenes of several objects in which the last is another one of the first's kind, or all are.
        bound: share of scenes of several objects in which each has a colour of its own ("a red cat and a blue dog").
        covered: share of scenes of several objects in which each after the first covers a part of the one before it.
        complete: share of captions that say place, size, style and background; the others say little.
        hands: whose drawings, one drawn at random for each scene.
    """

    size: tuple[int, int] = (128, 128)
    counts: tuple[int, ...] = (1, 2)
    patterned: float = 0.15
    tinted: float = 0.12
    synonyms: float = 0.3
    gap: float = 0.03
    sides: tuple[float, float] | None = None
    unseen: bool = False
    touching: float = 0.0
    alike: float = 0.0
    bound: float = 0.0
    covered: float = 0.0
    complete: float = 0.7
    hands: tuple[str, ...] = (TRAINING_HAND,)


def chance(rng: random.Random, share: float) -> bool:
    """True with the probability given; one that is off draws nothing, so that scenes stay as they were without it."""
    return share > 0 and rng.random() < share
