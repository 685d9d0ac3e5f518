"""The learnt vectors: where they start and how they are kept during training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone import Backbone, TokenVectors
from ...messages import listed, shown
from .prompts import placeholder

Start = Literal["rare", "average", "nearest"]

# Every byte-pair vocabulary has single characters as tokens, and captions hardly use them: rows of the right size
# that mean little, like the rare rows that ConceptExpress starts from.
RARE_WORDS = tuple("qxzjkvwyufghbpmdlcrntsoiea8697542310")


@dataclass(frozen=True, eq=False)
class TokenBank:
    """Vectors under training.

    Attributes:
        names: N concepts.
        vectors: text encoder name to (N, n, d) float32, leaves that gradients are taken for.
    """

    names: tuple[str, ...]
    vectors: Mapping[str, Tensor]

    def parameters(self) -> list[Tensor]:
        """The tensors to optimise."""
        return list(self.vectors.values())

    def placeholders(self) -> dict[str, TokenVectors]:
        """``<name>`` to its vectors, part of the graph."""
        return {placeholder(name): self._of(index) for index, name in enumerate(self.names)}

    def tokens(self) -> dict[str, TokenVectors]:
        """Concept name to its vectors (n, d), part of the graph."""
        return {name: self._of(index) for index, name in enumerate(self.names)}

    def _of(self, index: int) -> dict[str, Tensor]:
        return {encoder: rows[index] for encoder, rows in self.vectors.items()}


def start_bank(
    backbone: Backbone,
    names: Sequence[str],
    *,
    start: Start = "rare",
    words: Mapping[str, str] | None = None,
    count: int = 1,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> TokenBank:
    """Vectors to begin with.

    Args:
        backbone: gives rows of the text encoders' tables.
        names: the concepts, N of them, without brackets.
        start: ``rare``: a little-used row for each concept, in random order (beyond the supply, a random mix);
            ``average``: the mean of such rows, moved by a tenth of their spread so that concepts differ.
        words: concept name to a word to start from instead; its rows are averaged or repeated to ``count``.
        count: vectors n per concept.
        generator: the random source, on the CPU.
        device: where the vectors shall live.

    Raises ``ValueError`` for words given to concepts that do not exist and for a count below 1.
    """
    words = {name: word for name, word in (words or {}).items() if word.strip()}
    unknown = sorted(set(words) - set(names))
    if unknown:
        raise ValueError(f"initial words for {listed(unknown)}, but the concepts are {listed(names)}")
    if count < 1:
        raise ValueError(f"a token needs at least 1 vector, got {count}")
    drawn = _draw(backbone, start, len(names) * count, generator)
    vectors = {}
    for encoder, rows in drawn.items():
        stacked = rows.reshape(len(names), count, -1).clone()  # (N, n, d)
        for name, word in words.items():
            stacked[names.index(name)] = resize_rows(backbone.word_vectors(word)[encoder], count)
        vectors[encoder] = stacked.to(device).requires_grad_()
    return TokenBank(tuple(names), vectors)


def resize_rows(rows: Tensor, count: int) -> Tensor:
    """Rows (m, d) to (count, d) float32: neighbours averaged when there are more, repeated when there are fewer."""
    return F.adaptive_avg_pool1d(rows.detach().float().cpu().clone().T, count).T  # (m, d) to (d, n) to (n, d)


def _draw(backbone: Backbone, start: Start, amount: int, generator: torch.Generator) -> dict[str, Tensor]:
    supply = [backbone.word_vectors(word) for word in RARE_WORDS]
    tables = {encoder: torch.cat([resize_rows(rows[encoder], 1) for rows in supply]) for encoder in supply[0]}
    if start == "rare":
        mixing = _permutation_rows(len(RARE_WORDS), amount, generator)
        return {encoder: mixing @ table for encoder, table in tables.items()}
    if start == "average":
        return {encoder: _near_mean(table, amount, generator) for encoder, table in tables.items()}
    raise ValueError(f"unknown start {shown(start)}, expected rare or average (nearest is for a whole training)")


def _permutation_rows(supply: int, amount: int, generator: torch.Generator) -> Tensor:
    """(amount, supply) rows that pick one row each or, beyond the supply, mix two; the same for every encoder."""
    picks = torch.eye(supply)[torch.randperm(supply, generator=generator)]  # (supply, supply)
    while len(picks) < amount:
        first, second = torch.randperm(supply, generator=generator)[:2].tolist()
        share = torch.rand(1, generator=generator)
        mixed = share * picks[first] + (1 - share) * picks[second]  # (supply,)
        picks = torch.cat([picks, mixed[None]])
    return picks[:amount]


def _near_mean(table: Tensor, amount: int, generator: torch.Generator) -> Tensor:
    spread = table.std(0) if len(table) > 1 else torch.zeros_like(table[0])  # (d,)
    return table.mean(0) + 0.1 * spread * torch.randn(amount, table.shape[1], generator=generator)
