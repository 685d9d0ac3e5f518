"""Which words a text encoder takes for much the same as a concept.

Words of the model's vocabulary are first ranked by the input table, which takes no pass of the encoder; the best of
them are then encoded in a few sentences, and ranked by the state at their last token. On the lab model the states find
0.95 of the known synonyms first and the table 0.93 (``docs/erasure-results.md``).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbone import Backbone, Placeholders, Vocabulary
from .concept_vectors import alone, rows_of_each

SENTENCES = ("a {}", "a photo of a {}")
"""In which words are compared."""


@dataclass(frozen=True)
class RelatedWord:
    """A word, and the cosine of its encoded state with the concept's: 1 is the same, and may fall below 0."""

    word: str
    cosine: float


@dataclass(frozen=True, eq=False)
class WordSearch:
    """Looks for the words nearest to concepts.

    Args:
        backbone: gives the text encoder and its vocabulary.
        placeholders: learnt tokens that concepts may name.
        searched: how many words of the vocabulary are encoded for each concept.
        on_text: called once for each text that is encoded; may raise, to stop.
    """

    backbone: Backbone
    placeholders: Placeholders | None = None
    searched: int = 32
    on_text: Callable[[], None] = lambda: None

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return self.backbone.vocabulary()

    def near(self, concept: str, left_out: Sequence[str] = (), more: Sequence[str] = ()) -> list[RelatedWord]:
        """Words by how much they are alike to a concept, the most alike first.

        Args:
            concept: a word or phrase.
            left_out: words that are not compared.
            more: further words or phrases to compare, beside the vocabulary.

        Raises ``ValueError`` for a concept without tokens.
        """
        without = {_plain(text) for text in (concept, *left_out)}
        candidates = [word for word in self._by_table(concept) if word not in without][: self.searched]
        candidates = list(dict.fromkeys([*candidates, *(word for word in more if _plain(word) not in without)]))
        if not candidates:
            return []
        rows = rows_of_each(self.backbone, [concept, *candidates], "last_subject", SENTENCES, self.placeholders)
        states = []
        for one in rows:
            states.append(F.normalize(alone(one, "average"), dim=1))  # (1, D), a row for each text encoder of SD3
            self.on_text()
        alike = (torch.stack(states[1:]) * states[0]).sum(-1).mean(-1)  # (C,)
        found = [RelatedWord(word, float(value)) for word, value in zip(candidates, alike, strict=True)]
        return sorted(found, key=lambda one: -one.cosine)

    def _by_table(self, concept: str) -> list[str]:
        """The vocabulary by the cosine of its rows with the concept's mean row, averaged over text encoders."""
        vectors = self._table_rows(concept)
        alike = torch.stack([_cosines(vectors[name], rows) for name, rows in self._vocabulary.vectors.items()]).mean(0)
        return [self._vocabulary.words[i] for i in alike.argsort(descending=True).tolist()]

    def _table_rows(self, concept: str) -> dict[str, Tensor]:
        """A concept's rows (n, d) of each encoder's table, learnt tokens among them."""
        learnt = self.placeholders or {}
        marks = "|".join(re.escape(mark) for mark in learnt)
        parts = re.split(f"({marks})", concept) if marks else [concept]
        read = [learnt[part] if part in learnt else self.backbone.word_vectors(part) for part in parts if part.strip()]
        return {name: torch.cat([rows[name].float() for rows in read]) for name in self.backbone.text_widths}


def words_to_keep(
    search: WordSearch, concepts: Sequence[str], left_out: Sequence[str], below: float
) -> tuple[str, ...]:
    """The words of the vocabulary near concepts that are no synonyms of any of them, each once.

    Args:
        search: looks for them; it says how many are compared with each concept.
        concepts: words or phrases.
        left_out: further words that are not given.
        below: from this cosine with a concept on, a word counts as its synonym.
    """
    own = {word for text in (*concepts, *left_out) for word in _plain(text).split()}
    found = [one for concept in concepts for one in search.near(concept, left_out)]
    synonyms = {one.word for one in found if one.cosine >= below}
    return tuple(dict.fromkeys(one.word for one in found if one.word not in synonyms and one.word not in own))


def _cosines(rows: Tensor, table: Tensor) -> Tensor:
    return F.cosine_similarity(rows.mean(0, keepdim=True).to(table), table)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
