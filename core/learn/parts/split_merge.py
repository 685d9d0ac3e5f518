"""Split and merge: each concept is several tokens at first, which are then replaced by their mean (ConceptExpress).

Token i + s N is the s-th of concept i, N the number of concepts. All live in one tensor for the whole training, so
that the optimiser's state outlives the merge: the merged tokens are its first N rows and go on with their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import TokenVectors
from .contrastive import contrastive
from .tokens import TokenBank


def split_names(names: Sequence[str], parts: int) -> tuple[str, ...]:
    """What the S N tokens are called in training sentences, which no one else reads."""
    return tuple(names) if parts == 1 else tuple(str(row) for row in range(parts * len(names)))


@dataclass(frozen=True, eq=False)
class SplitTokens:
    """The tokens of N concepts, S each.

    Attributes:
        names: the N concepts.
        bank: all S N tokens.
    """

    names: tuple[str, ...]
    bank: TokenBank

    @property
    def parts(self) -> int:
        """S, the tokens of a concept."""
        return len(self.bank.names) // len(self.names)

    def merge(self) -> None:
        """Put the mean of each concept's tokens in place of its first one."""
        with torch.no_grad():
            for rows in self.bank.vectors.values():
                rows[: len(self.names)] = self._mean(rows)

    def merged(self) -> TokenBank:
        """The first token of each concept; shares memory and graph with all of them."""
        return TokenBank(self.names, self.bank.vectors)

    def means(self) -> Mapping[str, TokenVectors]:
        """Concept name to the mean of its tokens (n, d), part of the graph: what a merge now would give."""
        means = {encoder: self._mean(rows) for encoder, rows in self.bank.vectors.items()}
        return {
            name: {encoder: rows[index] for encoder, rows in means.items()} for index, name in enumerate(self.names)
        }

    def contrast(self, temperature: float) -> Tensor:
        """How far tokens of one concept lie apart against those of others: the contrastive loss, of all encoders."""
        labels = torch.arange(len(self.bank.names)) % len(self.names)  # (S N,)
        losses = [contrastive(rows.flatten(1), labels, temperature) for rows in self.bank.vectors.values()]
        return torch.stack(losses).mean()

    def _mean(self, rows: Tensor) -> Tensor:
        return rows.unflatten(0, (self.parts, len(self.names))).mean(0)  # (S N, n, d) to (S, N, n, d) to (N, n, d)
