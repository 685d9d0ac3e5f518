"""Folders of scenes whose objects, styles and colours are known, with the exact mask of each."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import paint, sample_background
from ...lab.world.scene import TINTS, Look, SceneSettings, compose
from ...lab.world.styles import STYLES
from ..cases import SEEDS_PER_RUN, tensor_of
from ..drawing import SIDE

KINDS = ("object", "style", "colour")
PICTURES = 160
"""In a folder, unless others are asked for."""
OBJECTS = 8
"""Kinds of objects in a folder."""
TINTED, PATTERNED = 0.35, 0.3
EXCESS = 0.7
"""The share of a skewed folder's pictures that show its frequent object, at least."""


@dataclass(frozen=True, eq=False)
class Folder:
    """Pictures of one folder.

    Attributes:
        pictures: (P, 3, H, W) in 0..1.
        factors: ``(kind, word)`` to masks (P, H, W) bool of where it is; empty where a picture does not have it.
        grounds: (P, 3, H, W) the backgrounds alone.
    """

    pictures: Tensor
    factors: dict[tuple[str, str], Tensor]
    grounds: Tensor

    def present(self, factor: tuple[str, str]) -> Tensor:
        """(P,) bool: which pictures show a factor."""
        return self.factors[factor].flatten(1).any(1)

    def part(self, chosen: slice) -> "Folder":
        """Some of the pictures."""
        factors = {factor: masks[chosen] for factor, masks in self.factors.items()}
        return Folder(self.pictures[chosen], factors, self.grounds[chosen])

    def without(self, factor: tuple[str, str], numbers: Sequence[int]) -> Tensor:
        """(n, 3, H, W) some of the pictures, with background where a factor is and two pixels around it."""
        chosen = list(numbers)
        where = max_pool2d(self.factors[factor][chosen][:, None].float(), 5, stride=1, padding=2)  # (n, 1, H, W)
        return torch.where(where > 0, self.grounds[chosen], self.pictures[chosen])


def make_folder(split: str, index: int, seed: int, pictures: int) -> Folder:
    """The index-th folder of a run: scenes of one or two of eight kinds of objects that the model knows, each object in
    any style, a third of them in a tint, on plain and patterned backgrounds. The split decides the random numbers, so
    that folders of development and test share no scene; their kinds of objects are drawn from the same forty."""
    rng = random.Random(f"explain:{split}:{seed * SEEDS_PER_RUN + index}")
    kinds = [kind.name for kind in rng.sample(load_atlas().of_split("train"), OBJECTS)]
    return _drawn(rng, kinds, (_looks(rng, kinds) for _ in range(pictures)), pictures)


@dataclass(frozen=True)
class Skew:
    """How a second folder of the same objects differs from the first.

    Attributes:
        missing: kinds of objects that it does not have.
        excess: a kind that it has more of.
    """

    missing: tuple[str, ...]
    excess: str


def skewed_folder(split: str, index: int, seed: int, pictures: int) -> tuple[Folder, Skew, list[list[Look]]]:
    """Further scenes of the objects of :func:`make_folder`, of which two are withheld and one is in some
    :data:`EXCESS` of the pictures instead of a fifth; all other objects are as frequent as before. Gives the looks of
    each picture too."""
    first = random.Random(f"explain:{split}:{seed * SEEDS_PER_RUN + index}")
    kinds = [kind.name for kind in first.sample(load_atlas().of_split("train"), OBJECTS)]
    rng = random.Random(f"skewed:{split}:{seed * SEEDS_PER_RUN + index}")
    chosen = rng.sample(kinds, 3)
    skew = Skew(tuple(chosen[:2]), chosen[2])
    looks = [_skewed(rng, _looks(rng, kinds), skew) for _ in range(pictures)]
    return _drawn(rng, kinds, iter(looks), pictures), skew, looks


def _skewed(rng: random.Random, looks: Sequence[Look], skew: Skew) -> list[Look]:
    """One scene's objects without those that are withheld, mostly with the frequent one."""
    kept = [look for look in looks if look.name not in skew.missing]
    if all(look.name != skew.excess for look in kept) and (not kept or rng.random() < EXCESS):
        tint = rng.choice(list(TINTS)) if rng.random() < TINTED else None
        kept.append(Look(skew.excess, rng.choice(STYLES), tint, skew.excess))
    return kept


def _drawn(rng: random.Random, kinds: Sequence[str], scenes: Iterator[list[Look]], pictures: int) -> Folder:
    """Scenes as pictures, with where each factor is."""
    keys = [("object", name) for name in kinds]
    keys += [("style", style) for style in STYLES] + [("colour", tint) for tint in TINTS]
    factors = {key: torch.zeros(pictures, SIDE, SIDE, dtype=torch.bool) for key in keys}
    drawn, grounds, again = [], [], random.Random()
    for number, looks in enumerate(scenes):
        background = sample_background(rng, PATTERNED)
        settings = SceneSettings(size=(SIDE, SIDE), counts=(len(looks),))
        again.setstate(rng.getstate())  # the background is painted first
        picture, objects = compose(rng, looks, background, settings)
        drawn.append(tensor_of(picture))
        grounds.append(tensor_of(paint(again, background, SIDE, SIDE)))
        for thing in objects:
            mask = torch.from_numpy(thing.mask)
            for key in (("object", thing.name), ("style", thing.style), ("colour", thing.colour)):
                if key in factors:
                    factors[key][number] |= mask
    return Folder(torch.stack(drawn), factors, torch.stack(grounds))


def _looks(rng: random.Random, kinds: Sequence[str]) -> list[Look]:
    chosen = rng.sample(list(kinds), rng.choice((1, 2)))
    tints = [rng.choice(list(TINTS)) if rng.random() < TINTED else None for _ in chosen]
    return [Look(name, rng.choice(STYLES), tint, name) for name, tint in zip(chosen, tints, strict=True)]
