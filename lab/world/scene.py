"""Scenes: a few objects on a background, with a caption and every answer known exactly."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from .atlas import SPLITS, ObjectKind, load_atlas
from .backgrounds import Background, paint, sample_background
from .captions import Phrase, write_caption

TINTS: dict[str, tuple[int, int, int]] = {
    "red": (232, 64, 56),
    "green": (64, 176, 72),
    "blue": (56, 110, 230),
    "yellow": (250, 208, 50),
    "purple": (150, 80, 206),
    "pink": (250, 130, 180),
}
# Sides of objects as a share of the picture's shorter side, by how many there are.
SIZES = {1: (0.40, 0.62), 2: (0.34, 0.56), 3: (0.30, 0.44), 4: (0.28, 0.40)}
DEVELOPMENT_SHARE, TEST_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class SceneObject:
    """One object as placed.

    Attributes:
        mask: (height, width) bool, exactly the pixels where it covers at least half.
        word: the name or synonym that the caption uses.
        colour: the tint's word, or None for the icon's own colours.
        box: (top, left, height, width) in pixels of the resized tile.
    """

    name: str
    word: str
    style: str
    colour: str | None
    mask: np.ndarray
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """``picture`` is (height, width, 3) uint8."""

    picture: np.ndarray
    caption: str
    objects: tuple[SceneObject, ...]
    background: Background


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
        alike: share of scenes of several objects in which the last is another one of the first's kind.
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


def pair_split(a: str, b: str) -> str:
    """Which split the composition of two objects belongs to; training never puts a held-out pair in one scene."""
    share = zlib.crc32("|".join(sorted((a, b))).encode()) / 2**32
    if share < DEVELOPMENT_SHARE:
        return "development"
    return "test" if share < DEVELOPMENT_SHARE + TEST_SHARE else "train"


def sample_scene(split: str, seed: int, settings: SceneSettings | None = None) -> Scene:
    """The scene of a split with a seed; the same arguments give the same scene on every machine.

    In *development* and *test*, scenes of several training objects hold at least one pair that training never saw
    (but for two objects alike).
    """
    if split not in SPLITS:  # no pair would ever fit it
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    settings = settings or SceneSettings()
    rng = random.Random(f"{split}:{seed}")
    count = rng.choice(settings.counts)
    kinds = sample_kinds(rng, split, count, settings.unseen)
    alike = count > 1 and chance(rng, settings.alike)
    if alike:
        kinds[-1] = kinds[0]
    shared = rng.choice(load_atlas().styles)
    mixed = rng.random() < 0.25
    styles = [rng.choice(load_atlas().styles) if mixed else shared for _ in kinds]
    colours = [rng.choice(list(TINTS)) if rng.random() < settings.tinted else None for _ in kinds]
    words = [
        rng.choice(kind.synonyms) if kind.synonyms and rng.random() < settings.synonyms else kind.name for kind in kinds
    ]
    if alike:
        words[-1] = words[0]
    background = sample_background(rng, settings.patterned)
    picture, objects = compose(rng, kinds, styles, colours, words, background, settings)
    say_style = rng.random() < 0.6
    phrases = [
        Phrase(word, style if mixed and say_style else None, colour, again=alike and place == count - 1)
        for place, (word, style, colour) in enumerate(zip(words, styles, colours, strict=True))
    ]
    caption = write_caption(
        rng,
        phrases,
        style=shared if say_style and not mixed else None,
        background=background.words if rng.random() < 0.7 else None,
    )
    return Scene(picture, caption, objects, background)


def chance(rng: random.Random, share: float) -> bool:
    """True with the probability given; one that is off draws nothing, so that scenes stay as they were without it."""
    return share > 0 and rng.random() < share


def sample_kinds(rng: random.Random, split: str, count: int, unseen: bool) -> list[ObjectKind]:
    """Distinct objects whose pairs the split may show."""
    atlas = load_atlas()
    if unseen and split == "train":
        raise ValueError("the train split has no unseen objects; ask for the development or test split")
    pool = atlas.of_split(split if unseen else "train")
    if not 1 <= count <= len(pool):
        raise ValueError(f"a scene of {count} objects was asked for; the pool has {len(pool)}")
    while True:
        kinds = rng.sample(pool, count)
        splits = {pair_split(a.name, b.name) for a, b in combinations(kinds, 2)}
        if unseen or count == 1 or (splits == {"train"} if split == "train" else split in splits):
            return kinds


def compose(
    rng: random.Random,
    kinds: Sequence[ObjectKind],
    styles: Sequence[str],
    colours: Sequence[str | None],
    words: Sequence[str],
    background: Background,
    settings: SceneSettings,
) -> tuple[np.ndarray, tuple[SceneObject, ...]]:
    """Paint the objects over the background; later ones cover earlier ones, and masks say so."""
    height, width = settings.size
    icons = [
        tint(load_atlas().icon(kind.name, style), colour)
        for kind, style, colour in zip(kinds, styles, colours, strict=True)
    ]
    if len(icons) > 1 and chance(rng, settings.touching):
        boxes = place_touching(rng, [np.asarray(icon)[..., 3] for icon in icons], settings)
    else:
        boxes = place(rng, len(kinds), settings)
    canvas = Image.fromarray(paint(rng, background, height, width))
    masks: list[np.ndarray] = []
    for original, (top, left, side, _) in zip(icons, boxes, strict=True):
        icon = original.resize((side, side), Image.Resampling.HAMMING)
        canvas.paste(icon, (left, top), icon)
        mask = np.zeros((height, width), dtype=bool)
        mask[top : top + side, left : left + side] = np.asarray(icon)[..., 3] >= 128
        masks = [earlier & ~mask for earlier in masks] + [mask]
    objects = tuple(
        SceneObject(kind.name, word, style, colour, mask, box)
        for kind, word, style, colour, mask, box in zip(kinds, words, styles, colours, masks, boxes, strict=True)
    )
    return np.asarray(canvas), objects


def place(rng: random.Random, count: int, settings: SceneSettings) -> list[tuple[int, int, int, int]]:
    """Boxes (top, left, side, side) inside the picture, at least the gap apart; sizes shrink when none fit."""
    height, width = settings.size
    short = min(height, width)
    low, high = settings.sides or SIZES[min(count, max(SIZES))]
    gap = round(settings.gap * short)
    for attempt in range(2000):
        shrink = 0.99 ** (attempt // 20)
        boxes: list[tuple[int, int, int, int]] = []
        for _ in range(count):
            side = max(4, round(short * rng.uniform(low, high) * shrink))
            boxes.append((rng.randint(0, height - side), rng.randint(0, width - side), side, side))
        if all(apart(a, b, gap) for a, b in combinations(boxes, 2)):
            return boxes
    raise ValueError(f"{count} objects do not fit into {height}x{width} pixels with a gap of {gap}")


def place_touching(
    rng: random.Random, alphas: Sequence[np.ndarray], settings: SceneSettings
) -> list[tuple[int, int, int, int]]:
    """Boxes as of :func:`place`, each object after the first pushed from outside until it meets an earlier one.

    Args:
        alphas: (TILE, TILE) uint8 of each icon, from which its outline is known.
    """
    height, width = settings.size
    short = min(height, width)
    low, high = settings.sides or SIZES[min(len(alphas), max(SIZES))]
    for attempt in range(200):
        taken = np.zeros((height, width), dtype=bool)
        boxes: list[tuple[int, int, int, int]] = []
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


def apart(a: tuple[int, int, int, int], b: tuple[int, int, int, int], gap: int) -> bool:
    """Whether two boxes are at least the gap apart, along some axis."""
    return (
        a[0] + a[2] + gap <= b[0] or b[0] + b[2] + gap <= a[0] or a[1] + a[3] + gap <= b[1] or b[1] + b[3] + gap <= a[1]
    )


def tint(icon: Image.Image, colour: str | None) -> Image.Image:
    """The icon in shades of one colour, keeping its light and dark parts."""
    if colour is None:
        return icon
    pixels = np.asarray(icon).astype(np.float32)
    light = (pixels[..., :3] @ np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255)[..., None]
    hue = np.array(TINTS[colour], dtype=np.float32)
    shaded = np.where(light < 0.55, hue * (0.25 + light * 0.75 / 0.55), hue + (255 - hue) * (light - 0.55) / 0.9)
    return Image.fromarray(np.concatenate([shaded, pixels[..., 3:]], -1).clip(0, 255).astype(np.uint8), "RGBA")
