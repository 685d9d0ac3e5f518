"""Where the objects of a scene stand: apart, touching, or covering one another."""

import random
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from PIL import Image

from .settings import SIZES, SceneSettings, chance

Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""


def place_icons(rng: random.Random, icons: Sequence[Image.Image], settings: SceneSettings) -> list[Box]:
    """Boxes for the icons: apart, or where the settings' chances say so touching or covering one another."""
    alphas = [np.asarray(icon)[..., 3] for icon in icons]
    if len(icons) > 1 and chance(rng, settings.covered):
        return place_covering(rng, alphas, settings)
    if len(icons) > 1 and chance(rng, settings.touching):
        return place_touching(rng, alphas, settings)
    return place(rng, len(icons), settings)


def place(rng: random.Random, count: int, settings: SceneSettings) -> list[Box]:
    """Boxes (top, left, side, side) inside the picture, at least the gap apart; sizes shrink when none fit."""
    height, width = settings.size
    short = min(height, width)
    low, high = settings.sides or SIZES[min(count, max(SIZES))]
    gap = round(settings.gap * short)
    for attempt in range(2000):
        shrink = 0.99 ** (attempt // 20)
        boxes: list[Box] = []
        for _ in range(count):
            side = max(4, round(short * rng.uniform(low, high) * shrink))
            boxes.append((rng.randint(0, height - side), rng.randint(0, width - side), side, side))
        if all(apart(a, b, gap) for a, b in combinations(boxes, 2)):
            return boxes
    raise ValueError(f"{count} objects do not fit into {height}x{width} pixels with a gap of {gap}")


def place_touching(rng: random.Random, alphas: Sequence[np.ndarray], settings: SceneSettings) -> list[Box]:
    """Boxes as of :func:`place`, each object after the first pushed from outside until it meets an earlier one.

    Args:
        alphas: (TILE, TILE) uint8 of each icon, from which its outline is known.
    """
    height, width = settings.size
    short = min(height, width)
    low, high = settings.sides or SIZES[min(len(alphas), max(SIZES))]
    for attempt in range(200):
        taken = np.zeros((height, width), dtype=bool)
        boxes: list[Box] = []
        for alpha in alphas:
            side = max(4, round(short * rng.uniform(low, high) * 0.99**attempt))
            shape = np.asarray(Image.fromarray(alpha).resize((side, side), Image.Resampling.HAMMING)) >= 128
            corner = push(rng, taken, shape) if boxes else (rng.randint(0, height - side), rng.randint(0, width - side))
            if corner is None:
                break
            top, left = corner
            taken[top : top + side, left : left + side] |= shape
            boxes.append((top, left, side, side))
        if len(boxes) == len(alphas):
            return boxes
    raise ValueError(f"{len(alphas)} touching objects do not fit into {height}x{width} pixels")


def place_covering(
    rng: random.Random, alphas: Sequence[np.ndarray], settings: SceneSettings, least: float = 0.15, most: float = 0.45
) -> list[Box]:
    """Boxes as of :func:`place`, each object after the first over a part of the one before it, so that the one
    that loses most loses between ``least`` and ``most`` of its pixels.

    Args:
        alphas: (TILE, TILE) uint8 of each icon, from which its outline is known.
    """
    height, width = settings.size
    short = min(height, width)
    low, high = settings.sides or SIZES[min(len(alphas), max(SIZES))]
    for attempt in range(2000):
        shapes: list[np.ndarray] = []
        boxes: list[Box] = []
        for alpha in alphas:
            side = max(4, round(short * rng.uniform(low, high) * 0.999**attempt))
            top, left = rng.randint(0, height - side), rng.randint(0, width - side)
            shape = np.zeros((height, width), dtype=bool)
            small = np.asarray(Image.fromarray(alpha).resize((side, side), Image.Resampling.HAMMING)) >= 128
            shape[top : top + side, left : left + side] = small
            shapes.append(shape)
            hidden = [
                (earlier & np.any(shapes[number + 1 :], axis=0)).sum() / earlier.sum()
                for number, earlier in enumerate(shapes[:-1])
            ]
            if hidden and not ((shapes[-2] & shape).any() and least <= max(hidden) <= most):
                break
            boxes.append((top, left, side, side))
        if len(boxes) == len(alphas):
            return boxes
    raise ValueError(f"{len(alphas)} objects that cover one another do not fit into {height}x{width} pixels")


def push(rng: random.Random, taken: np.ndarray, shape: np.ndarray, tries: int = 12) -> tuple[int, int] | None:
    """The corner (top, left) at which a shape (s, s) that comes from some side first meets what is taken (H, W).

    None when it does not fit into the picture there, from any direction that was tried.
    """
    (height, width), side = taken.shape, len(shape)
    rows, columns = taken.nonzero()
    little = 0.08 * min(shape.sum(), taken.sum())
    for _ in range(tries):
        angle, aim = rng.uniform(0, 2 * np.pi), rng.randrange(len(rows))
        for distance in range(max(height, width), -1, -1):
            top = round(rows[aim] + distance * np.sin(angle) - side / 2)
            left = round(columns[aim] + distance * np.cos(angle) - side / 2)
            if not (0 <= top <= height - side and 0 <= left <= width - side):
                continue
            overlap = (taken[top : top + side, left : left + side] & shape).sum()
            if 0 < overlap <= little:
                return top, left
            if overlap:  # the picture's edge kept it from coming from outside
                break
    return None


def apart(a: Box, b: Box, gap: int) -> bool:
    """Whether two boxes are at least the gap apart, along some axis."""
    return (
        a[0] + a[2] + gap <= b[0] or b[0] + b[2] + gap <= a[0] or a[1] + a[3] + gap <= b[1] or b[1] + b[3] + gap <= a[1]
    )
