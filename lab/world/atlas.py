"""The icons of the world: every object in every style, as RGBA tiles, with names, synonyms and licences."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
OBJECTS_FILE = HERE / "objects.json"
ATLAS_FILE = HERE / "atlas.png"
TILE = 128
SPLITS = ("train", "development", "test")


@dataclass(frozen=True)
class ObjectKind:
    """One kind of thing in the world.

    ``split`` says who may see it: *train* objects are drawn for UNet and text encoder; *development* and
    *test* objects never are, so that learning a token for them is a real test.
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
    """All kinds and styles; tiles are read with :meth:`icon`."""

    kinds: tuple[ObjectKind, ...]
    styles: tuple[str, ...]
    tiles: np.ndarray  # (kinds, styles, TILE, TILE, 4) uint8

    def icon(self, name: str, style: str) -> Image.Image:
        """The RGBA tile of an object in a style. Raises ``KeyError`` naming what exists."""
        if style not in self.styles:
            raise KeyError(f"no style {style!r}; the world has {', '.join(self.styles)}")
        return Image.fromarray(self.tiles[self.kind(name).row, self.styles.index(style)])

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
def load_atlas() -> Atlas:
    """Read the shipped atlas (cached: it is read-only and some 17 MB once unpacked)."""
    world = json.loads(OBJECTS_FILE.read_text(encoding="utf-8"))
    styles = tuple(world["styles"])
    kinds = tuple(
        ObjectKind(entry["name"], tuple(entry["synonyms"]), entry["split"], row)
        for row, entry in enumerate(world["objects"])
    )
    with Image.open(ATLAS_FILE) as sheet:
        pixels = np.asarray(sheet.convert("RGBA"))
    tiles = pixels.reshape(len(kinds), TILE, len(styles), TILE, 4).swapaxes(1, 2).copy()
    tiles.setflags(write=False)
    return Atlas(kinds, styles, tiles)
