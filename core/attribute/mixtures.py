"""What the columns of a context are made of, where it was not encoded from one text as it stands.

Contexts are laid one behind another (ConditioningConcat), averaged (ConditioningAverage), and weighted word by word by
more than one rule. All of these leave each row a sum of the rows that the prompts themselves have at that place, and of
the empty prompt's. That sum is found by least squares: with hundreds of numbers in a row and a handful of prompts, what
is left over says reliably whether the answer is right.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention.words import find_word
from ..backbone import Token, TokenizedText

LEAST_SHARE = 0.05
"""A prompt with less in a row than this is not in it."""

TOLERANCE = 0.02
"""Most that may be left over of a row, as a share of what sets it apart from the empty prompt's."""

_RANK = 1e-4  # rows of two prompts that begin alike are the same: how alike counts as the same


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt that may have gone into a context, and its own rows (L, D), whole chunks of them."""

    text: TokenizedText
    rows: Tensor


@dataclass(frozen=True)
class MixedText:
    """The words of prompts, at the columns of the context that they are in.

    Attributes:
        text: positions of its tokens are columns; tokens of several prompts may share one.
        weights: of each token, how much of its prompt's row is in its column.
    """

    text: TokenizedText
    weights: tuple[float, ...]

    def columns_of(self, word: str) -> dict[int, float]:
        """The columns of all occurrences of a word, and how much of it is in each. Raises as :func:`find_word` does."""
        numbered = tuple(replace(token, position=index) for index, token in enumerate(self.text.tokens))
        found: dict[int, float] = {}
        for index in (index for run in find_word(replace(self.text, tokens=numbered), word) for index in run):
            column = self.text.tokens[index].position
            found[column] = found.get(column, 0.0) + self.weights[index]
        return dict(sorted(found.items()))


def unmix(context: Tensor, prompts: Sequence[Prompt], empty: Tensor, widths: Sequence[int] = ()) -> MixedText:
    """Which words of the prompts are in which columns of a context.

    Args:
        context: (L, D).
        prompts: those that may have gone into it.
        empty: (N, D), the rows of the empty prompt; N is the length of a chunk.
        widths: of the encoders whose rows stand side by side in D, where each may have read a prompt of its own;
            default one.

    Returns:
        Only words of which every token was found.
    """
    length = len(empty)
    sheets = [(prompt, start) for prompt in prompts for start in range(0, len(prompt.rows), length)]
    rows = torch.stack([*(prompt.rows[start : start + length] for prompt, start in sheets), empty])  # (K + 1, N, D)
    numbers, found = itertools.count(), list[tuple[Token, float]]()
    for column in range(0, len(context), length):
        weights = _weights(context[column : column + length], rows, tuple(widths) or (context.shape[1],))
        for (prompt, start), share in zip(sheets, weights, strict=True):
            for word in _whole_words(prompt.text, start, share):
                number = next(numbers)
                found += [
                    (replace(token, position=column + token.position - start, word=number), float(weight))
                    for token, weight in word
                ]
    text = TokenizedText(tuple(token for token, _ in found), start=0, end=len(context) - 1, length=len(context))
    return MixedText(text, tuple(weight for _, weight in found))


def _weights(block: Tensor, rows: Tensor, widths: tuple[int, ...]) -> Tensor:
    """(K, n) how much of each of K prompts is in the rows of a block (n, D), of K + 1 rows (K + 1, N, D), the empty
    prompt's last; 0 in rows that are no sum of these."""
    solved = [
        _solved(part, known)
        for part, known in zip(block.split(widths, 1), rows[:, : len(block)].split(widths, 2), strict=True)
    ]
    known = torch.stack([answer for _, answer in solved]).all(0)  # (n,)
    return torch.where(known, torch.stack([weights for weights, _ in solved]).mean(0), 0.0)


def _solved(block: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (K, n), and for which of the rows (n,) they are the answer."""
    target, basis = block.double()[..., None], rows.double().permute(1, 2, 0)  # (n, d, 1), (n, d, K + 1)
    weights = torch.linalg.pinv(basis, rtol=_RANK) @ target  # (n, K + 1, 1)
    left = (target - basis @ weights).norm(dim=(1, 2))  # (n,)
    own = (target - _along(target, basis[..., -1:])).norm(dim=(1, 2))  # (n,)
    return weights[:, :-1, 0].T, left <= TOLERANCE * own.clamp_min(1e-3 * target.norm(dim=(1, 2)))


def _along(vector: Tensor, direction: Tensor) -> Tensor:
    """The part of vectors (n, d, 1) along directions (n, d, 1)."""
    return direction * (direction * vector).sum(1, keepdim=True) / (direction**2).sum(1, keepdim=True).clamp_min(1e-12)


def _whole_words(text: TokenizedText, start: int, weights: Tensor) -> Iterator[list[tuple[Token, float]]]:
    """The words of a text that lie in the chunk at ``start`` and are all there, each token with its weight."""
    words: dict[int, list[Token]] = {}
    for token in text.tokens:
        words.setdefault(token.word, []).append(token)
    for tokens in words.values():
        places = [token.position - start for token in tokens]
        if min(places) >= 0 and max(places) < len(weights) and float(weights[places].min()) >= LEAST_SHARE:
            yield [(token, float(weights[place])) for token, place in zip(tokens, places, strict=True)]
