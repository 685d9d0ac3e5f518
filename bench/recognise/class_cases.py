"""Pictures of one thing each, whose object, style and colour are known, with its exact mask."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...lab.world.atlas import load_atlas
from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import TINTS, Look, SceneSettings, compose
from ...lab.world.styles import STYLES
from ..cases import SEEDS_PER_RUN, tensor_of
from ..drawing import SIDE

OBJECTS, PATTERNED = 8, 0.3
KINDS = ("object", "style", "colour")


@dataclass(frozen=True, eq=False)
class ClassFolder:
    """P pictures of one thing each.

    Attributes:
        pictures: (P, 3, H, W) in 0..1.
        masks: (P, H, W) bool, where the thing is.
        classes: kind to the names of its classes.
        labels: kind to (P,) long, the class of each picture.
    """

    pictures: Tensor
    masks: Tensor
    classes: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Tensor]

    def part(self, chosen: slice) -> "ClassFolder":
        """Some of the pictures."""
        labels = {kind: of[chosen] for kind, of in self.labels.items()}
        return ClassFolder(self.pictures[chosen], self.masks[chosen], self.classes, labels)

    def present(self) -> tuple[list[str], Tensor]:
        """The names of all classes, and (P, K) bool which pictures have which."""
        columns = [self.labels[kind][:, None] == torch.arange(len(names))[None] for kind, names in self.classes.items()]
        return [name for names in self.classes.values() for name in names], torch.cat(columns, 1)


def make_class_folder(split: str, index: int, seed: int, pictures: int) -> ClassFolder:
    """The index-th folder of a run: one of eight objects that the lab knows, in one of four styles and one of six
    tints, on plain and patterned backgrounds. The split decides the random numbers; objects are drawn from those that
    the encoders were trained on."""
    rng = random.Random(f"classes:{split}:{seed * SEEDS_PER_RUN + index}")
    objects = [kind.name for kind in rng.sample(load_atlas().of_split("train"), OBJECTS)]
    classes: dict[str, tuple[str, ...]] = {"object": tuple(objects), "style": tuple(STYLES), "colour": tuple(TINTS)}
    drawn, masks = [], []
    found: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for number in range(pictures):
        # every class comes up as often as it goes: the first ones of each round of eight objects, and so on
        chosen = {kind: _turn(rng, number, names) for kind, names in classes.items()}
        look = Look(
            classes["object"][chosen["object"]],
            classes["style"][chosen["style"]],
            classes["colour"][chosen["colour"]],
            classes["object"][chosen["object"]],
        )
        settings = SceneSettings(size=(SIDE, SIDE), counts=(1,))
        picture, things = compose(rng, [look], sample_background(rng, PATTERNED), settings)
        drawn.append(tensor_of(picture))
        masks.append(torch.from_numpy(things[0].mask))
        for kind in KINDS:
            found[kind].append(chosen[kind])
    labels = {kind: torch.tensor(of) for kind, of in found.items()}
    return ClassFolder(torch.stack(drawn), torch.stack(masks), classes, labels)


def _turn(rng: random.Random, number: int, names: Sequence[str]) -> int:
    """Objects in turn, so that both halves of a folder have all; the others at random."""
    return number % len(names) if len(names) == OBJECTS else rng.randrange(len(names))
