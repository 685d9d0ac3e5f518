"""The words of the world, for naming what is found in its pictures."""

from .atlas import load_kinds
from .backgrounds import COLOURS, PATTERNS
from .scene import TINTS
from .styles import STYLES


def world_words() -> tuple[str, ...]:
    """Names of the objects that the lab model knows, styles, colours and patterns, each once."""
    names = [kind.name for kind in load_kinds() if kind.split == "train"]
    return tuple(dict.fromkeys([*names, *STYLES, *TINTS, *COLOURS, *PATTERNS]))
