"""The icons of the world: every object by every hand, in every style, with names, synonyms and licences."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from .styles import STYLES, render

HERE = Path(__file__).parent
OBJECTS_FILE = HERE / "objects.json"
ATLAS_FILE = HERE / "atlas.png"
TILE = 128
SPLITS = ("train", "development", "test")
TRAINING_HAND = "fluent"
"""The icon set whose drawings the denoiser and the text encoder learn from: the boldest and simplest of the three."""


@dataclass(frozen=True)
class ObjectKind:
    """One kind of thing in the world.

    ``split`` says who may see it: *train* objects are drawn for UNet and text encoder; *development* and
    *test* objects never are, so that learning a token for them is a real test. *spare* objects stand in no scene:
    an earlier model was trained on them, and at 16x16 cells they are easily taken for others. Only the autoencoder
    and the judge know them.
    """

    name: str
    synonyms: tuple[str, ...]
    split: str
    row: int

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that captions may use for it, the name first."""
        return (self.name, *self.synonyms)


@dataclass(frozen=True)
class Atlas:
    """All kinds, and the hands that drew them; drawings are read with :meth:`icon`."""

    kinds: tuple[ObjectKind, ...]
    hands: tuple[str, ...]
    tiles: np.ndarray  # (kinds, hands, TILE, TILE, 4) uint8

    styles = STYLES

    def icon(self, name: str, style: str, hand: str = TRAINING_HAND) -> Image.Image:
        """The RGBA tile of an object in a style, after a hand's drawing. Raises ``KeyError`` naming what exists."""
        if hand not in self.hands:
            raise KeyError(f"no hand {hand!r}; the world has {', '.join(self.hands)}")
        if style in self.hands:
            raise KeyError(
                f"{style!r} is a hand, no longer a style: pass it as hand; the world has the styles {', '.join(STYLES)}"
            )
        return _styled(self.kind(name).row, self.hands.index(hand), style)

    def kind(self, word: str) -> ObjectKind:
        """The kind that a name or synonym means. Raises ``KeyError`` when no kind has that word."""
        for kind in self.kinds:
            if word in kind.words:
                return kind
        raise KeyError(f"no object is called {word!r}; the world has {', '.join(k.name for k in self.kinds)}")

    def of_split(self, split: str) -> tuple[ObjectKind, ...]:
        """The kinds of one split."""
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        return tuple(kind for kind in self.kinds if kind.split == split)


@lru_cache(maxsize=1)
def load_kinds() -> tuple[ObjectKind, ...]:
    """The objects with their words, without the drawings."""
    world = json.loads(OBJECTS_FILE.read_text(encoding="utf-8"))
    return tuple(
        ObjectKind(entry["name"], tuple(entry["synonyms"]), entry["split"], row)
        for row, entry in enumerate(world["objects"])
    )


def synonyms_of(word: str) -> tuple[str, ...]:
    """The other words of the object that a name or synonym means; none for a word that the world does not have."""
    return next((tuple(w for w in kind.words if w != word) for kind in load_kinds() if word in kind.words), ())


@lru_cache(maxsize=1)
def load_atlas() -> Atlas:
    """Read the shipped atlas (cached: it is read-only and some 17 MB once unpacked)."""
    world = json.loads(OBJECTS_FILE.read_text(encoding="utf-8"))
    hands, kinds = tuple(world["hands"]), load_kinds()
    with Image.open(ATLAS_FILE) as sheet:
        pixels = np.asarray(sheet.convert("RGBA"))
    tiles = pixels.reshape(len(kinds), TILE, len(hands), TILE, 4).swapaxes(1, 2).copy()
    tiles.setflags(write=False)
    return Atlas(kinds, hands, tiles)


@lru_cache(maxsize=2048)
def _styled(row: int, hand: int, style: str) -> Image.Image:
    """A drawing in a style (kept: rendering costs more than pasting; never changed in place)."""
    return render(Image.fromarray(load_atlas().tiles[row, hand]), style)
