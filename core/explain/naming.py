"""Names of ingredients: the words that fit the pictures which show them, and not those that do not.

After Discover-then-Name (Rao et al. 2024, arXiv 2407.14499, section 3.2), which names a direction of a space that text
shares by the nearest word. Directions of other spaces are named by the pictures that use them most: their mean in the
space shared with text, minus the mean of all pictures; from words, the mean of all words is taken, since what pictures
and what words have in common among themselves says nothing.

The pictures that do not show an ingredient say as much. As in CLIP-Dissect (Oikarinen & Weng 2023, arXiv 2204.10965),
how likely each word is for each picture is therefore compared with how strongly the picture shows the ingredient, by
their correlation over all pictures. A name's score is the mean of both measures. "No good name" is an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..evaluate.similarity import unit

LEAST_SCORE, LEAST_MARGIN = 0.4, 0.03
"""Of a good name: its score, and its lead over the next word. In two development folders of the lab, most names below
0.4 were wrong."""

SHARPNESS = 10.0
"""Factor on cosines before the softmax over words."""
NO_NAME = "no good name"


@dataclass(frozen=True)
class Name:
    """The nearest word.

    Attributes:
        word: the word.
        score: how well it fits, -1..1.
        second: the next word.
        margin: the word's lead over that.
        good: whether score and margin are large enough.
    """

    word: str
    score: float
    second: str
    margin: float
    good: bool

    @property
    def short(self) -> str:
        """The word with its score, or that no name is good."""
        return f"{self.word} {self.score:.2f}" if self.good else NO_NAME

    def __str__(self) -> str:
        nearest = f"{self.word} {self.score:.2f}, then {self.second} {self.score - self.margin:.2f}"
        return self.short if self.good else f"{NO_NAME} (nearest: {nearest})"


def nearest_names(
    shown: Tensor,
    every: Tensor,
    pictures: Tensor,
    scores: Tensor,
    words: Sequence[str],
    texts: Tensor,
    least_score: float = LEAST_SCORE,
    least_margin: float = LEAST_MARGIN,
) -> tuple[Name, ...]:
    """The name of each of K ingredients.

    Args:
        shown: (K, E) the mean unit features of the crops that show each ingredient.
        every: (E,) the mean unit features of the crops of all ingredients.
        pictures: (P, E) unit features of all pictures.
        scores: (P, K) how strongly each picture shows each ingredient.
        words: V of them, at least two.
        texts: (V, E) their features by the text encoder that was trained with the picture encoder.
    """
    if len(words) < 2 or len(words) != len(texts):
        raise ValueError(f"names need features of at least two words, got {len(words)} words and {len(texts)} features")
    near = unit(shown - every) @ _meanings(texts).T  # (K, V)
    fits = (near + _correlation(scores, likelihoods(pictures, texts))) / 2
    best = fits.topk(2, dim=1)
    return tuple(
        Name(words[first], score, words[next_], score - second, score >= least_score and score - second >= least_margin)
        for (score, second), (first, next_) in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    )


def likelihoods(pictures: Tensor, texts: Tensor) -> Tensor:
    """(P, V) how likely each of V words, features (V, E), is for each picture, unit features (P, E), among all."""
    # Pictures that are all alike say nothing: clamped, their features stay near 0.
    apart = pictures - pictures.mean(0)
    apart = apart / apart.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return (SHARPNESS * apart @ _meanings(texts).T).softmax(1)


def _meanings(texts: Tensor) -> Tensor:
    """(V, E) unit features of words, without what all words have in common."""
    known = unit(texts)
    return unit(known - known.mean(0))


def _correlation(scores: Tensor, likely: Tensor) -> Tensor:
    """(K, V) Pearson's correlation over P rows; 0 for what does not vary."""
    first, second = (one.float() - one.float().mean(0) for one in (scores, likely))
    lengths = first.norm(dim=0)[:, None] * second.norm(dim=0)
    return torch.where(lengths > 1e-8, first.T @ second / lengths.clamp(min=1e-8), 0.0)
