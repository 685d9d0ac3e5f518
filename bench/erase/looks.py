"""In which style and colour the judge sees objects before and after an erasure: whether kept objects look as before."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

from torch import Tensor

from ...lab.judge.judge import Judge
from ...lab.judge.scenes import COLOURS
from ...lab.world.atlas import load_atlas

Look = list[str]
"""A style and a colour, as JSON gives them back; ``OWN_COLOUR`` for the colours of the drawing itself."""
OWN_COLOUR = "own"
LOOKS = ("style", "colour")
"""What a look has, in its order."""


def looks_in(judge: Judge, pictures: Tensor) -> list[dict[str, Look]]:
    """What is found in each of B pictures (B, 3, H, W) in 0..1: the names, each with the look in which it is seen."""
    reading, styles, colours = judge.look(pictures), load_atlas().styles, (OWN_COLOUR, *COLOURS)
    found = judge.found(reading)
    seen: dict[str, list[Look]] = {}
    for name in sorted(frozenset().union(*found)):
        own = judge.index(name)
        both = zip(reading.style_of(own).argmax(1).tolist(), reading.colour_of(own).argmax(1).tolist(), strict=True)
        seen[name] = [[styles[style], colours[colour]] for style, colour in both]
    return [{name: seen[name][row] for name in sorted(names)} for row, names in enumerate(found)]


def looks_kept(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of objects found before and after: ``kept_style`` and ``kept_colour``, the shares that have the same one after,
    and ``kept_style_chance`` and ``kept_colour_chance``, the shares of pairs of different objects that had the same one
    before. Without chance for fewer than two objects; empty where none is found both times."""
    pairs = [entry["looks"] for entry in entries if all(entry.get("looks") or (None,))]
    shares: dict[str, float] = {}
    for number, name in enumerate(LOOKS):
        shares |= _share(f"kept_{name}", (was[number] == now[number] for was, now in pairs))
        before = [was[number] for was, _ in pairs]
        shares |= _share(f"kept_{name}_chance", (one == other for one, other in permutations(before, 2)))
    return shares


def _share(name: str, same: Iterator[bool]) -> dict[str, float]:
    """The share by its name; nothing where there is nothing to count."""
    values = list(same)
    return {name: sum(values) / len(values)} if values else {}
