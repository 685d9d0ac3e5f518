"""Pictures that show a subject which no model has seen, with its exact masks, and pictures that do not."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...lab.world.atlas import TRAINING_HAND, load_atlas
from ...lab.world.backgrounds import sample_background
from ...lab.world.scene import Look, SceneSettings, compose
from ...lab.world.styles import STYLES
from ..cases import SEEDS_PER_RUN, tensor_of
from ..drawing import SIDE

LOOKS = ("own", "any", "hand")
"""What a subject looks like: always drawn in one style; in any style; learnt from one hand's drawings in one style and
looked for in those of another hand."""
PATTERNED = 0.3


@dataclass(frozen=True, eq=False)
class SubjectCase:
    """One subject.

    Attributes:
        examples, folder: pictures (E, 3, H, W) to learn from and (P, 3, H, W) to look in.
        example_masks, folder_masks: (E, H, W) and (P, H, W) bool; empty where a picture does not show it.
    """

    examples: Tensor
    example_masks: Tensor
    folder: Tensor
    folder_masks: Tensor


def make_subject(split: str, index: int, seed: int, examples: int, look: str, pictures: int = 24) -> SubjectCase:
    """The index-th subject of a run, of the objects that belong to a split and to no model. Every other picture of the
    folder shows it; half of all scenes have another such object beside it, in any style."""
    rng = random.Random(f"subject:{split}:{seed * SEEDS_PER_RUN + index}:{look}")
    atlas = load_atlas()
    pool = [kind.name for kind in atlas.of_split(split)]
    subject = rng.choice(pool)
    others = [name for name in pool if name != subject]
    style = None if look == "any" else rng.choice(STYLES)
    hands = [hand for hand in atlas.hands if hand != TRAINING_HAND]
    second = rng.choice(hands) if look == "hand" else TRAINING_HAND

    def scene(shows: bool, hand: str) -> tuple[Tensor, Tensor]:
        count = rng.choice((1, 2))
        names = [subject] if shows else []
        names += rng.sample(others, count - len(names))
        looks = [Look(name, style if name == subject and style else rng.choice(STYLES), None, name) for name in names]
        rng.shuffle(looks)
        settings = SceneSettings(size=(SIDE, SIDE), counts=(count,))
        picture, objects = compose(rng, looks, sample_background(rng, PATTERNED), settings, hand)
        mask = next((thing.mask for thing in objects if thing.name == subject), np.zeros((SIDE, SIDE), dtype=bool))
        return tensor_of(picture), torch.from_numpy(mask)

    learnt = [scene(True, TRAINING_HAND) for _ in range(examples)]
    asked = [scene(number % 2 == 0, second) for number in range(pictures)]
    return SubjectCase(
        torch.stack([picture for picture, _ in learnt]),
        torch.stack([mask for _, mask in learnt]),
        torch.stack([picture for picture, _ in asked]),
        torch.stack([mask for _, mask in asked]),
    )
