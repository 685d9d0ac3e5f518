"""Labelled scenes to train and to test the judge on: objects of every split, some of them broken on purpose.

A broken object (its tiles shuffled, or blurred to a blob) is labelled as nothing: a denoiser that draws the right
colours in the wrong order must not pass.
"""

import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ..world.atlas import SPLITS, TRAINING_HAND, load_atlas
from ..world.backgrounds import sample_background
from ..world.scene import TINTS, Look, SceneObject, compose
from ..world.settings import SceneSettings, chance
from .network import CELL

IGNORED = -100
"""Label of cells at the rim of an object, and of cells without an object where styles and colours are asked."""

COLOURS = tuple(TINTS)

HANDS = ((TRAINING_HAND, 0.5), ("noto", 0.25), ("twemoji", 0.25))
"""How often each hand's drawings are seen."""


@dataclass(frozen=True)
class JudgedSettings:
    """``broken``: share of objects that are spoiled; ``alike``: chance that all objects are of one kind; the others as
    in the world's own scenes."""

    size: tuple[int, int] = (128, 128)
    counts: tuple[int, ...] = (1, 1, 2, 2, 3, 4)
    broken: float = 0.12
    tinted: float = 0.25
    patterned: float = 0.25
    touching: float = 0.15
    sides: tuple[float, float] | None = None
    alike: float = 0.0


@dataclass(frozen=True)
class JudgedScene:
    """``picture`` (H, W, 3) uint8; ``labels`` (3, h, w) int16: kind, style and colour of every cell; ``middles``
    (2, h, w) float32: how many cells down and to the right the middle of each cell's object is; ``names`` of the
    objects that are whole."""

    picture: np.ndarray
    labels: np.ndarray
    middles: np.ndarray
    names: tuple[str, ...]


def draw_judged(seed: int, settings: JudgedSettings | None = None) -> JudgedScene:
    """The scene with this seed; the same on every machine."""
    settings = settings or JudgedSettings()
    rng = random.Random(f"judge:{seed}")
    kinds = rng.sample([kind for kind in load_atlas().kinds if kind.split in SPLITS], rng.choice(settings.counts))
    kinds = [kinds[0]] * len(kinds) if chance(rng, settings.alike) else kinds
    looks = [
        Look(
            kind.name,
            rng.choice(load_atlas().styles),
            rng.choice(COLOURS) if rng.random() < settings.tinted else None,
            kind.name,
        )
        for kind in kinds
    ]
    background = sample_background(rng, settings.patterned)
    world = SceneSettings(size=settings.size, gap=0.0, sides=settings.sides, touching=settings.touching)
    hand = rng.choices([name for name, _ in HANDS], [share for _, share in HANDS])[0]
    picture, objects = compose(rng, looks, background, world, hand)
    spoiled = [rng.random() < settings.broken for _ in objects]
    picture = picture.copy()
    for thing, bad in zip(objects, spoiled, strict=True):
        if bad:
            spoil(rng, picture, thing.box)
    whole = tuple(thing.name for thing, bad in zip(objects, spoiled, strict=True) if not bad)
    return JudgedScene(picture, label_cells(objects, spoiled), middles_of(objects), whole)


def spoil(rng: random.Random, picture: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """Shuffle the ninths or sixteenths of a box of a picture (H, W, 3), or blur it to a blob, in place."""
    top, left, height, width = box
    crop = picture[top : top + height, left : left + width]
    if rng.random() < 0.4:
        blurred = Image.fromarray(crop).filter(ImageFilter.GaussianBlur(max(height, width) / 7))
        crop[:] = np.asarray(blurred)
        return
    parts = rng.choice((3, 4))
    tall, wide = height // parts, width // parts
    places = [(i * tall, j * wide) for i in range(parts) for j in range(parts)]
    tiles = [crop[y : y + tall, x : x + wide].copy() for y, x in places]
    rng.shuffle(tiles)
    for (y, x), tile in zip(places, tiles, strict=True):
        crop[y : y + tall, x : x + wide] = tile


def label_cells(objects: tuple[SceneObject, ...], spoiled: list[bool]) -> np.ndarray:
    """(3, h, w) int16: kind (their number for nothing), style and colour (0 for the icon's own) of every cell."""
    atlas = load_atlas()
    cover = np.stack([cover_of(thing.mask) for thing in objects])
    owner = cover.argmax(0)
    owned, empty = cover.max(0) >= 0.5, cover.sum(0) <= 0.05
    kinds = [
        len(atlas.kinds) if bad else atlas.kind(thing.name).row for thing, bad in zip(objects, spoiled, strict=True)
    ]
    styles = [IGNORED if bad else atlas.styles.index(t.style) for t, bad in zip(objects, spoiled, strict=True)]
    colours = [IGNORED if bad else colour_index(t.colour) for t, bad in zip(objects, spoiled, strict=True)]
    kind = np.where(owned, np.array(kinds)[owner], np.where(empty, len(atlas.kinds), IGNORED))
    style = np.where(owned, np.array(styles)[owner], IGNORED)
    colour = np.where(owned, np.array(colours)[owner], IGNORED)
    return np.stack([kind, style, colour]).astype(np.int16)


def middles_of(objects: tuple[SceneObject, ...]) -> np.ndarray:
    """(2, h, w) float32: how many cells down and to the right of a cell's own middle lies that of the box of the object
    that covers most of it."""
    owner = np.stack([cover_of(thing.mask) for thing in objects]).argmax(0)
    corners = np.array([thing.box for thing in objects], dtype=np.float32)  # (K, 4)
    middles = (corners[:, :2] + corners[:, 2:] / 2) / CELL - 0.5  # (K, 2), in cells from the first one's middle
    places = np.stack(np.meshgrid(*(np.arange(side) for side in owner.shape), indexing="ij"))  # (2, h, w)
    return np.moveaxis(middles[owner], -1, 0) - places.astype(np.float32)


def colour_index(colour: str | None) -> int:
    """0 for the icon's own colours, then the tints in their order."""
    return 0 if colour is None else 1 + COLOURS.index(colour)


def cover_of(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool to the share of every cell that it covers, (h, w)."""
    height, width = (side // CELL for side in mask.shape)
    return mask[: height * CELL, : width * CELL].reshape(height, CELL, width, CELL).mean((1, 3))
