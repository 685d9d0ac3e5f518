"""Names of ingredients: the words whose meaning is nearest to the pictures that show them.

After Discover-then-Name (Rao et al. 2024, arXiv 2407.14499, section 3.2), which names a direction of a space that text
shares by the nearest word. Directions of other spaces are named by the pictures that use them most: their mean in the
space shared with text, minus the mean of all pictures; from words, the mean of all words is taken, since what pictures
and what words have in common among themselves says nothing. "No good name" is an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..evaluate.similarity import unit

LEAST_SCORE, LEAST_MARGIN = 0.5, 0.03
"""Of a good name: its cosine, and its lead over the next word. In a gallery of a development folder of the lab, every
name above 0.55 was right, and most of those below 0.5 were wrong."""
NO_NAME = "no good name"


@dataclass(frozen=True)
class Name:
    """The nearest word.

    Attributes:
        word: the word.
        score: its cosine, -1..1.
        margin: its lead over the next word.
        good: whether both are large enough.
    """

    word: str
    score: float
    margin: float
    good: bool

    @property
    def short(self) -> str:
        """The word with its score, or that no name is good."""
        return f"{self.word} {self.score:.2f}" if self.good else NO_NAME

    def __str__(self) -> str:
        return self.short if self.good else f"{NO_NAME} (next: {self.word} {self.score:.2f})"


def nearest_names(
    shown: Tensor,
    every: Tensor,
    words: Sequence[str],
    texts: Tensor,
    least_score: float = LEAST_SCORE,
    least_margin: float = LEAST_MARGIN,
) -> tuple[Name, ...]:
    """The name of each of K ingredients.

    Args:
        shown: (K, E) the mean unit features of the crops that show each ingredient.
        every: (E,) the mean unit features of crops of all ingredients, or of all pictures.
        words: V of them, at least two.
        texts: (V, E) their features by the text encoder that was trained with the picture encoder.
    """
    if len(words) < 2 or len(words) != len(texts):
        raise ValueError(f"names need features of at least two words, got {len(words)} words and {len(texts)} features")
    known = unit(texts)
    cosines = unit(shown - every) @ unit(known - known.mean(0)).T  # (K, V)
    best = cosines.topk(2, dim=1)
    return tuple(
        Name(words[index], score, score - second, score >= least_score and score - second >= least_margin)
        for (score, second), (index, _) in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    )
