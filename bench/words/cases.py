"""Scenes whose captions say names, colours, a style and the background, with the exact mask of each word."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.attention.words import occurrences
from ...core.backbone import TokenizedText
from ...lab.world.scene import Scene, SceneSettings, sample_scene
from ..cases import SEEDS_PER_RUN
from ..drawing import SIDE

COUNTS = (1, 2, 3)
KINDS = ("name", "colour", "style", "background")
CAPTIONS = ("complete", "short")
"""Captions that say all of a scene, and those that say the names alone."""


@dataclass(frozen=True, eq=False)
class Word:
    """A word of a caption.

    Attributes:
        kind: one of :data:`KINDS`.
        text: as the caption says it; several written words for some names and backgrounds.
        mask: (H, W) bool, the pixels that it is said of.
    """

    kind: str
    text: str
    mask: Tensor


@dataclass(frozen=True, eq=False)
class WordCase:
    """One scene.

    Attributes:
        seed: the scene's own.
        picture: (1, 3, H, W) in 0..1.
        caption: what it shows, in full.
        words: those that a mask belongs to.
        objects: how many objects it has.
        background: ``plain`` or ``patterned``.
    """

    seed: int
    picture: Tensor
    caption: str
    words: tuple[Word, ...]
    objects: int
    background: str


def make_word_case(split: str, index: int, seed: int, caption: str = CAPTIONS[0]) -> WordCase:
    """The index-th case of a run: 1 to 3 objects in turn, each with a colour of its own, on plain and on patterned
    backgrounds, by a caption that says all of it, or the names alone.

    Raises ``ValueError`` for a split that does not exist.
    """
    settings = SceneSettings(
        size=(SIDE, SIDE),
        counts=(COUNTS[index % len(COUNTS)],),
        patterned=float(index // len(COUNTS) % 2),
        tinted=1.0,
        bound=1.0,
        synonyms=0.0,
        complete=1.0,
    )
    own_seed = seed * SEEDS_PER_RUN + index
    scene = sample_scene(split, own_seed, settings)
    picture = torch.from_numpy(np.array(scene.picture)).permute(2, 0, 1)[None].float() / 255
    text = scene.caption if caption == CAPTIONS[0] else _names_alone(scene)
    return WordCase(own_seed, picture, text, words_of_scene(scene), len(scene.objects), scene.background.kind)


def _names_alone(scene: Scene) -> str:
    return f"a photo of {' and '.join(dict.fromkeys(f'a {thing.word}' for thing in scene.objects))}"


def words_of_scene(scene: Scene) -> tuple[Word, ...]:
    """The words of a scene's caption with their masks. One that is said of several objects belongs to all of them."""
    masks: dict[tuple[str, str], Tensor] = {}
    for thing in scene.objects:
        mask = torch.from_numpy(thing.mask)
        for kind, text in (("name", thing.word), ("colour", thing.colour), ("style", thing.style)):
            if text is not None:
                masks[kind, text] = masks.get((kind, text), torch.zeros_like(mask)) | mask
    covered = torch.from_numpy(np.any([thing.mask for thing in scene.objects], axis=0))
    masks["background", scene.background.words] = ~covered
    return tuple(Word(kind, text, mask) for (kind, text), mask in masks.items() if mask.any())


def clear_words(words: tuple[Word, ...], text: TokenizedText) -> tuple[Word, ...]:
    """The words that a text says, without those that it says of two different things: a red cat on red."""
    spelt = {word.text for word in words}
    parts = {part for word in words if word.kind == "background" for part in word.text.split()}
    kinds = {one: {word.kind for word in words if word.text == one} for one in spelt}
    return tuple(
        word
        for word in words
        if occurrences(text, word.text)
        and len(kinds[word.text]) == 1
        and not (word.kind == "colour" and word.text in parts)
    )
