"""Backgrounds: a plain colour or a two-tone pattern, and the words for them."""

import random
from dataclasses import dataclass

import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (244, 244, 242),
    "grey": (150, 152, 156),
    "black": (34, 34, 40),
    "red": (206, 74, 70),
    "orange": (240, 164, 84),
    "yellow": (246, 224, 120),
    "green": (122, 184, 112),
    "blue": (104, 150, 220),
    "purple": (158, 120, 200),
    "pink": (244, 170, 192),
}
PATTERNS = ("stripes", "dots", "checks", "gradient")


@dataclass(frozen=True)
class Background:
    """``colour`` is a key of ``COLOURS``; ``pattern`` one of ``PATTERNS`` or None for plain."""

    colour: str
    pattern: str | None = None

    @property
    def words(self) -> str:
        return f"{self.colour} {self.pattern}" if self.pattern else self.colour

    @property
    def kind(self) -> str:
        return "patterned" if self.pattern else "plain"


def sample_background(rng: random.Random, patterned: float) -> Background:
    """A random background, patterned with the probability given."""
    colour = rng.choice(list(COLOURS))
    return Background(colour, rng.choice(PATTERNS) if rng.random() < patterned else None)


def paint(rng: random.Random, background: Background, height: int, width: int) -> np.ndarray:
    """The picture of a background, (height, width, 3) uint8."""
    base = np.array(COLOURS[background.colour], dtype=np.float32)
    base = base + np.array([rng.uniform(-8, 8) for _ in range(3)], dtype=np.float32)
    if background.pattern is None:
        return np.broadcast_to(base, (height, width, 3)).clip(0, 255).astype(np.uint8)
    other = base * 0.72 if base.mean() > 110 else base + 0.35 * (255 - base)
    share = _pattern(rng, background.pattern, height, width)[..., None]
    return (base * (1 - share) + other * share).clip(0, 255).astype(np.uint8)


def _pattern(rng: random.Random, name: str, height: int, width: int) -> np.ndarray:
    """How much of the second colour stands at each pixel, (height, width) in 0..1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    period = min(height, width) * rng.uniform(0.12, 0.22)
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    if name == "stripes":
        return (along / period % 1 < 0.5).astype(np.float32)
    if name == "dots":
        return (((x / period % 1 - 0.5) ** 2 + (y / period % 1 - 0.5) ** 2) < 0.07).astype(np.float32)
    if name == "checks":
        return ((x // period + y // period) % 2).astype(np.float32)
    along = along - along.min()
    return along / along.max()
