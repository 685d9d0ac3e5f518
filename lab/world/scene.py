"""Scenes: a few objects on a background, with a caption and every answer known exactly."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from PIL import Image

from .atlas import SPLITS, TRAINING_HAND, ObjectKind, load_atlas
from .backgrounds import Background, paint, sample_background
from .captions import Phrase, write_caption
from .placing import Box, place_icons
from .settings import SceneSettings, chance

TINTS: dict[str, tuple[int, int, int]] = {
    "red": (232, 64, 56),
    "green": (64, 176, 72),
    "blue": (56, 110, 230),
    "yellow": (250, 208, 50),
    "purple": (150, 80, 206),
    "pink": (250, 130, 180),
}
LARGE, SMALL = 0.54, 0.43
# "flat" is drawn more often, so that words which no style goes with have a likely look.
STYLE_WEIGHTS = {"flat": 0.4, "outline": 0.2, "neon": 0.2, "sketch": 0.2}
DEVELOPMENT_SHARE, TEST_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class SceneObject:
    """One object as placed.

    Attributes:
        mask: (height, width) bool, exactly the pixels where it covers at least half and nothing covers it.
        word: the name or synonym that the caption uses.
        colour: the tint's word, or None for the icon's own colours.
        box: (top, left, height, width) in pixels of the resized tile.
        hand: whose drawing it is.
        visible: share of its pixels that no later object covers, in 0..1.
    """

    name: str
    word: str
    style: str
    colour: str | None
    mask: np.ndarray
    box: Box
    hand: str = TRAINING_HAND
    visible: float = 1.0

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of its box, (down, across) as shares of the picture's sides."""
        top, left, height, width = self.box
        return (top + height / 2) / self.mask.shape[0], (left + width / 2) / self.mask.shape[1]

    @property
    def place(self) -> str:
        """Where it stands: ``on the left``, ``at the top right``, ``in the middle``."""
        return place_words(*self.middle)

    @property
    def size(self) -> str | None:
        """``large`` or ``small`` by its box, None between."""
        share = self.box[2] / min(self.mask.shape)
        return "large" if share >= LARGE else "small" if share <= SMALL else None


@dataclass(frozen=True)
class Scene:
    """``picture`` is (height, width, 3) uint8. The answers of each object are its own (``style``, ``colour``,
    ``place``); those of several together are asked here."""

    picture: np.ndarray
    caption: str
    objects: tuple[SceneObject, ...]
    background: Background

    def count(self, name: str) -> int:
        """How many objects of a kind it shows."""
        return sum(thing.name == name for thing in self.objects)

    def relation(self, first: int, second: int) -> str:
        """How one object stands to another, by their numbers: ``left of``, ``right of``, ``above`` or ``below``."""
        return relation_words(self.objects[first].middle, self.objects[second].middle)


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
    if count > 1 and chance(rng, settings.alike):
        kinds = [kinds[0]] * count if rng.random() < 0.4 else [*kinds[:-1], kinds[0]]
    mixed = rng.random() < 0.25
    styles = rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()), k=count if mixed else 1)
    styles = styles if mixed else styles * count
    colours = sample_colours(rng, kinds, settings)
    background = sample_background(rng, settings.patterned)
    looks = [
        Look(kind.name, style, colour, word)
        for kind, style, colour, word in zip(
            kinds, styles, colours, sample_words(rng, kinds, settings.synonyms), strict=True
        )
    ]
    hand = rng.choice(settings.hands)
    picture, objects = compose(rng, looks, background, settings, hand)
    return Scene(picture, caption_of(rng, objects, background, settings.complete), objects, background)


def sample_colours(rng: random.Random, kinds: Sequence[ObjectKind], settings: SceneSettings) -> list[str | None]:
    """A tint or None for each object; like objects share theirs, and where colours are bound all others differ."""
    if len(kinds) > 1 and chance(rng, settings.bound):
        drawn: list[str | None] = list(rng.sample(list(TINTS), len(kinds)))
    else:
        drawn = [rng.choice(list(TINTS)) if rng.random() < settings.tinted else None for _ in kinds]
    first = {kind.name: colour for kind, colour in reversed(list(zip(kinds, drawn, strict=True)))}
    return [first[kind.name] for kind in kinds]


def sample_words(rng: random.Random, kinds: Sequence[ObjectKind], synonyms: float) -> list[str]:
    """What to call each object; like ones are called alike."""
    words: dict[str, str] = {}
    for kind in kinds:
        if kind.name not in words:
            by_synonym = kind.synonyms and rng.random() < synonyms
            words[kind.name] = rng.choice(kind.synonyms) if by_synonym else kind.name
    return [words[kind.name] for kind in kinds]


def caption_again(rng: random.Random, scene: Scene, settings: SceneSettings) -> str:
    """Another caption of a scene, with words drawn anew."""
    words = sample_words(rng, [load_atlas().kind(thing.name) for thing in scene.objects], settings.synonyms)
    objects = [replace(thing, word=word) for thing, word in zip(scene.objects, words, strict=True)]
    return caption_of(rng, objects, scene.background, settings.complete)


def caption_of(rng: random.Random, objects: Sequence[SceneObject], background: Background, complete: float) -> str:
    """A caption: a complete one tells all that is known of a scene, a short one names its objects and now and then
    the style or the background. Tints are always mentioned."""
    full = rng.random() < complete
    shared = objects[0].style if len({thing.style for thing in objects}) == 1 else None
    say_style = full or rng.random() < 0.45
    say_place, say_size = full and rng.random() < 0.85, full and rng.random() < 0.85
    relation = None
    if len(objects) == 2 and say_place and rng.random() < 0.35:
        relation, say_place = relation_words(objects[0].middle, objects[1].middle), False
    phrases = [
        Phrase(
            thing.word,
            thing.style if say_style and shared is None else None,
            thing.colour,
            again=any(thing.name == earlier.name for earlier in objects[:index]),
            size=thing.size if say_size else None,
            place=thing.place if say_place else None,
        )
        for index, thing in enumerate(objects)
    ]
    if relation is None and rng.random() < 0.6:
        phrases = counted(phrases)
    return write_caption(
        rng,
        phrases,
        style=shared if say_style else None,
        background=background.words if full or rng.random() < 0.4 else None,
        relation=relation,
    )


def counted(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Like objects mentioned together, by their number; what differs among them (size, place) is left out. Where their
    styles differ, and where nothing is mentioned twice, the phrases stay as they are."""
    groups: dict[str, list[Phrase]] = {}
    for phrase in phrases:
        groups.setdefault(phrase.word, []).append(phrase)
    if any(len({phrase.style for phrase in group}) > 1 for group in groups.values()):
        return list(phrases)
    return [
        group[0] if len(group) == 1 else replace(group[0], number=len(group), size=None, place=None)
        for group in groups.values()
    ]


def place_words(down: float, across: float) -> str:
    """Where a point stands, given as shares of the sides."""
    row = "top" if down < 0.4 else "bottom" if down > 0.6 else ""
    column = "left" if across < 0.4 else "right" if across > 0.6 else ""
    if row:
        return f"at the {row} {column}".rstrip()
    return f"on the {column}" if column else "in the middle"


def relation_words(first: tuple[float, float], second: tuple[float, float]) -> str:
    """How one point (down, across) stands to another, along the axis on which they lie further apart."""
    down, across = second[0] - first[0], second[1] - first[1]
    if abs(across) >= abs(down):
        return "left of" if across > 0 else "right of"
    return "above" if down > 0 else "below"


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


@dataclass(frozen=True)
class Look:
    """What an object of a scene is to be: as in :class:`SceneObject`."""

    name: str
    style: str
    colour: str | None
    word: str


def compose(
    rng: random.Random,
    looks: Sequence[Look],
    background: Background,
    settings: SceneSettings,
    hand: str = TRAINING_HAND,
) -> tuple[np.ndarray, tuple[SceneObject, ...]]:
    """Paint the objects over the background; later ones cover earlier ones, and masks say so."""
    height, width = settings.size
    icons = [tint(load_atlas().icon(look.name, look.style, hand), look.colour) for look in looks]
    canvas = Image.fromarray(paint(rng, background, height, width))
    masks: list[np.ndarray] = []
    boxes = place_icons(rng, icons, settings)
    for original, (top, left, side, _) in zip(icons, boxes, strict=True):
        icon = original.resize((side, side), Image.Resampling.HAMMING)
        canvas.paste(icon, (left, top), icon)
        mask = np.zeros((height, width), dtype=bool)
        mask[top : top + side, left : left + side] = np.asarray(icon)[..., 3] >= 128
        masks.append(mask)
    objects = []
    for index, (look, mask, box) in enumerate(zip(looks, masks, boxes, strict=True)):
        free = mask & ~np.any([np.zeros_like(mask), *masks[index + 1 :]], axis=0)
        visible = float(free.sum() / max(1, mask.sum()))
        objects.append(SceneObject(look.name, look.word, look.style, look.colour, free, box, hand, visible))
    return np.asarray(canvas), tuple(objects)


def tint(icon: Image.Image, colour: str | None) -> Image.Image:
    """The icon in shades of one colour, keeping its light and dark parts."""
    if colour is None:
        return icon
    pixels = np.asarray(icon).astype(np.float32)
    light = (pixels[..., :3] @ np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255)[..., None]
    hue = np.array(TINTS[colour], dtype=np.float32)
    shaded = np.where(light < 0.55, hue * (0.25 + light * 0.75 / 0.55), hue + (255 - hue) * (light - 0.55) / 0.9)
    return Image.fromarray(np.concatenate([shaded, pixels[..., 3:]], -1).clip(0, 255).astype(np.uint8), "RGBA")
