"""From words to the vectors that cross-attention reads: which rows of an encoded text stand for a concept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby, islice
from typing import Literal, get_args

import torch
from torch import Tensor

from ...backbone import Backbone, Placeholders, TokenizedText
from ...encoding_checks import check_encoded
from ...messages import shown
from .subject_places import Read, fill, subject_positions

BATCH = 16
"""How many sentences the text encoder reads at once: faster than one by one, and memory stays that of so many."""
MAX_SORTED = 16 * BATCH
"""How many sentences are sorted by length at most, before they are read in batches."""

TokenMode = Literal["last_subject", "from_subject_to_end", "all"]
Combine = Literal["average", "separate"]


Sentence = tuple[str, str]
"""A text and the template it stands in."""


@dataclass(frozen=True, eq=False)
class ConceptRows:
    """The rows of one encoded text, cut where two texts have to be laid side by side.

    Attributes:
        subject: (s, D) rows of the concept's own tokens, possibly none.
        rest: (r, D) rows after them: what follows in the template, end and padding; possibly none.
        beside: the same of the next text encoder, where rows of several lie one behind another.
    """

    subject: Tensor
    rest: Tensor
    beside: "ConceptRows | None" = None

    @property
    def parts(self) -> tuple["ConceptRows", ...]:
        """Those of each text encoder by itself."""
        first = replace(self, beside=None)
        return (first,) if self.beside is None else (first, *self.beside.parts)

    def of_subject(self) -> "ConceptRows":
        """Without the rows after the concept's own tokens."""
        return replace(self, rest=self.rest[:0], beside=self.beside and self.beside.of_subject())

    def of_rest(self) -> "ConceptRows":
        """Without the concept's own tokens."""
        return replace(self, subject=self.subject[:0], beside=self.beside and self.beside.of_rest())

    def joined(self) -> Tensor:
        """(s + r, D), those of all text encoders."""
        return torch.cat([rows for part in self.parts for rows in (part.subject, part.rest)])


def vectors(
    backbone: Backbone,
    text: str,
    mode: TokenMode,
    templates: Sequence[str] = ("{}",),
    combine: Combine = "average",
    placeholders: Placeholders | None = None,
) -> Tensor:
    """The vectors (n, D) that stand for a text on its own, for preserving it; float64.

    Args:
        backbone: gives the text encoder.
        text: a word or phrase; ``""`` is the unconditional text, which takes no template.
        mode: which tokens, see :func:`concept_rows`.
        templates: sentences with one ``{}`` where the text goes.
        combine: ``average`` the rows over the templates, or keep those of each template (``separate``).
        placeholders: learnt tokens the text may name.
    """
    return alone(concept_rows(backbone, text, mode, templates, placeholders), combine)


def alone(rows: Sequence[ConceptRows], combine: Combine) -> Tensor:
    """The vectors (n, D) of a text whose rows in each template are given."""
    by_encoder = zip(*(block.parts for block in rows), strict=True)
    return torch.cat([_combine([part.joined() for part in parts], combine) for parts in by_encoder])


def paired(ours: Sequence[ConceptRows], theirs: Sequence[ConceptRows], combine: Combine) -> tuple[Tensor, Tensor]:
    """Two (n, D): a concept's vectors, and its anchor's beside them, of the rows of both in each template.

    The last subject tokens of both are matched (a shorter anchor repeats its first subject row in front), then what
    follows is matched position by position; the longer text is cut. Rows of several text encoders are matched by
    encoder.
    """
    encoders = range(len(ours[0].parts))
    pairs = [[_pair(a.parts[one], b.parts[one]) for a, b in zip(ours, theirs, strict=True)] for one in encoders]
    first, second = (torch.cat([_combine([pair[side] for pair in of], combine) for of in pairs]) for side in (0, 1))
    return first, second


def concept_rows(
    backbone: Backbone,
    text: str,
    mode: TokenMode,
    templates: Sequence[str] = ("{}",),
    placeholders: Placeholders | None = None,
) -> list[ConceptRows]:
    """The rows of a text in each template, float64.

    - ``last_subject``: its last token alone (UCE).
    - ``from_subject_to_end``: its tokens and all positions after them, padding included: in a causal encoder every
      later position has read the concept, and on short prompts most of what is attended to is padding.
    - ``all``: all L positions, in place.

    The empty text has no token of its own: its start token stands in (its end token where none is known, as on
    transformers). Where rows of several text encoders lie one behind another, each encoder's are cut by themselves.

    Raises ``ValueError`` for a template without exactly one ``{}`` and for conditionings that are not finite.
    """
    return next(rows_of_each(backbone, (text,), mode, templates, placeholders))


def rows_of_each(
    backbone: Backbone,
    texts: Sequence[str],
    mode: TokenMode,
    templates: Sequence[str] = ("{}",),
    placeholders: Placeholders | None = None,
) -> Iterator[list[ConceptRows]]:
    """:func:`concept_rows` of one text after another, :data:`BATCH` sentences encoded at once.

    Only positions that are read are encoded, up to the subject's last with ``last_subject``; sentences of like length
    are encoded together there. No more is held than the rows of one batch and of the text that it ends in; with
    ``last_subject``, whose rows are few, of :data:`MAX_SORTED` sentences.
    """

    @lru_cache(maxsize=256)  # a template's beginning comes again with every text, a text with every template
    def read(sentence: str) -> TokenizedText:
        return backbone.tokenize(sentence, placeholders)

    sentences = [(text, template) for text in texts for template in templates]
    rows = _rows_of_sentences(backbone, read, sentences, mode, placeholders)
    for _ in texts:
        yield [next(rows) for _ in templates]


@dataclass(frozen=True)
class _Reading:
    """A sentence that is to be encoded.

    Attributes:
        sentence: the text.
        subject: where its concept stands, in the rows of each text encoder.
        spans: the rows of each text encoder.
        needed: how many positions are read.
        length: how many it has.
    """

    sentence: str
    subject: tuple[range, ...]
    spans: tuple[range, ...]
    needed: int
    length: int


def _rows_of_sentences(
    backbone: Backbone, read: Read, sentences: Iterable[Sentence], mode: TokenMode, placeholders: Placeholders | None
) -> Iterator[ConceptRows]:
    readings = (_reading(read, sentence, mode) for sentence in sentences)
    for size in _sizes(mode):
        held = list(islice(readings, size))
        if not held:
            return
        rows: dict[_Reading, ConceptRows] = {}
        for batch in _batches(held):
            rows |= _rows_of_batch(backbone, batch, mode, placeholders)
        yield from (rows[reading] for reading in held)


def _sizes(mode: TokenMode) -> Iterator[int]:
    """How many sentences to sort at once: few at first, so that the first ones are reported soon."""
    size = BATCH
    while True:
        yield size
        size = min(2 * size, MAX_SORTED) if mode == "last_subject" else BATCH


def _reading(read: Read, sentence: Sentence, mode: TokenMode) -> _Reading:
    text, template = sentence
    filled, subject = fill(template, text), subject_positions(read, text, template)
    whole = read(filled)
    needed = subject[-1].stop if mode == "last_subject" else whole.length
    return _Reading(filled, subject, whole.spans, needed, whole.length)


def _batches(readings: Iterable[_Reading]) -> Iterator[list[_Reading]]:
    """By length, each reading once, at most :data:`BATCH` at once; lengths are not mixed (some hosts read long
    prompts)."""
    once = sorted(dict.fromkeys(readings), key=lambda reading: (reading.length, reading.needed))
    for _, alike in groupby(once, lambda reading: reading.length):
        while batch := list(islice(alike, BATCH)):
            yield batch


def _rows_of_batch(
    backbone: Backbone, batch: Sequence[_Reading], mode: TokenMode, placeholders: Placeholders | None
) -> dict[_Reading, ConceptRows]:
    sentences = dict.fromkeys(reading.sentence for reading in batch)
    once = {sentence: row for row, sentence in enumerate(sentences)}
    context = _encoded(backbone, list(once), max(reading.needed for reading in batch), placeholders)
    return {reading: _cut(context[once[reading.sentence]], reading, mode) for reading in batch}


def _encoded(backbone: Backbone, sentences: Sequence[str], needed: int, placeholders: Placeholders | None) -> Tensor:
    """The first ``needed`` positions (B, needed, D) float64 of sentences of one length."""
    with torch.no_grad():
        context = backbone.encode_beginnings(sentences, needed, placeholders)
    check_encoded(context, sentences, placeholders or ())
    return context.cpu().double()


def _cut(rows: Tensor, reading: _Reading, mode: TokenMode) -> ConceptRows:
    """The rows of each text encoder, from the last to the first."""
    if mode not in get_args(TokenMode):
        raise ValueError(f"unknown token mode {shown(mode)}, expected last_subject, from_subject_to_end or all")
    found = None
    for subject, span in zip(reversed(reading.subject), reversed(reading.spans), strict=True):
        if mode == "last_subject":
            last = rows[subject[-1] : subject[-1] + 1].clone()  # not a view that holds the batch
            found = ConceptRows(last, last[:0], found)
        elif mode == "from_subject_to_end":
            found = ConceptRows(rows[subject.start : subject.stop], rows[subject.stop : span.stop], found)
        else:
            found = ConceptRows(rows[:0], rows[span.start : span.stop], found)
    assert found is not None
    return found


def _pair(ours: ConceptRows, theirs: ConceptRows) -> tuple[Tensor, Tensor]:
    count = len(ours.subject)
    matched = [max(len(theirs.subject) - count + i, 0) for i in range(count)]
    length = min(len(ours.rest), len(theirs.rest))
    return (
        torch.cat([ours.subject, ours.rest[:length]]),
        torch.cat([theirs.subject[matched], theirs.rest[:length]]),
    )


def _combine(rows: Sequence[Tensor], combine: Combine) -> Tensor:
    if combine == "separate":
        return torch.cat(list(rows))
    if combine == "average":
        length = min(len(block) for block in rows)
        return torch.stack([block[:length] for block in rows]).mean(0)
    raise ValueError(f"unknown way to combine templates {shown(combine)}, expected average or separate")
