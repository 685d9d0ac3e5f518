"""Folders of scenes whose objects, styles and colours are known, with the exact mask of each."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..lab.world.atlas import load_atlas
from ..lab.world.backgrounds import sample_background
from ..lab.world.scene import TINTS, Look, SceneSettings, compose
from ..lab.world.styles import STYLES
from .cases import SEEDS_PER_RUN
from .drawing import SIDE

KINDS = ("object", "style", "colour")
OBJECTS = 8
"""Kinds of objects in a folder."""
TINTED, PATTERNED = 0.35, 0.3


@dataclass(frozen=True, eq=False)
class Folder:
    """Pictures of one folder.

    Attributes:
        pictures: (P, 3, H, W) in 0..1.
        factors: ``(kind, word)`` to masks (P, H, W) bool of where it is; empty where a picture does not have it.
    """

    pictures: Tensor
    factors: dict[tuple[str, str], Tensor]

    def present(self, factor: tuple[str, str]) -> Tensor:
        """(P,) bool: which pictures show a factor."""
        return self.factors[factor].flatten(1).any(1)

    def part(self, chosen: slice) -> "Folder":
        """Some of the pictures."""
        return Folder(self.pictures[chosen], {factor: masks[chosen] for factor, masks in self.factors.items()})


def make_folder(split: str, index: int, seed: int, pictures: int) -> Folder:
    """The index-th folder of a run: scenes of one or two of eight kinds of objects that the model knows, each object in
    any style, a third of them in a tint, on plain and patterned backgrounds. The split decides the random numbers, so
    that folders of development and test share no scene; their kinds of objects are drawn from the same forty."""
    rng = random.Random(f"explain:{split}:{seed * SEEDS_PER_RUN + index}")
    kinds = [kind.name for kind in rng.sample(load_atlas().of_split("train"), OBJECTS)]
    keys = [("object", name) for name in kinds]
    keys += [("style", style) for style in STYLES] + [("colour", tint) for tint in TINTS]
    factors = {key: torch.zeros(pictures, SIDE, SIDE, dtype=torch.bool) for key in keys}
    drawn = []
    for number in range(pictures):
        looks = _looks(rng, kinds)
        background = sample_background(rng, PATTERNED)
        settings = SceneSettings(size=(SIDE, SIDE), counts=(len(looks),))
        picture, objects = compose(rng, looks, background, settings)
        drawn.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255)
        for thing in objects:
            mask = torch.from_numpy(thing.mask)
            for key in (("object", thing.name), ("style", thing.style), ("colour", thing.colour)):
                if key in factors:
                    factors[key][number] |= mask
    return Folder(torch.stack(drawn), factors)


def _looks(rng: random.Random, kinds: Sequence[str]) -> list[Look]:
    chosen = rng.sample(list(kinds), rng.choice((1, 2)))
    tints = [rng.choice(list(TINTS)) if rng.random() < TINTED else None for _ in chosen]
    return [Look(name, rng.choice(STYLES), tint, name) for name, tint in zip(chosen, tints, strict=True)]
