"""From words to the vectors that cross-attention reads: which rows of an encoded text stand for a concept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..backbone import Backbone, Placeholders

TokenMode = Literal["last_subject", "from_subject_to_end", "all"]
Combine = Literal["average", "separate"]


@dataclass(frozen=True)
class ConceptRows:
    """The rows of one encoded text, cut where two texts have to be laid side by side.

    Attributes:
        subject: (s, D) rows of the concept's own tokens, possibly none.
        rest: (r, D) rows after them: what follows in the template, end and padding; possibly none.
    """

    subject: Tensor
    rest: Tensor

    def joined(self) -> Tensor:
        """(s + r, D)."""
        return torch.cat([self.subject, self.rest])


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
    rows = [block.joined() for block in concept_rows(backbone, text, mode, templates, placeholders)]
    return _combine(rows, combine)


def vector_pairs(
    backbone: Backbone,
    concept: str,
    anchor: str,
    mode: TokenMode,
    templates: Sequence[str] = ("{}",),
    combine: Combine = "average",
    placeholders: Placeholders | None = None,
) -> tuple[Tensor, Tensor]:
    """The vectors of a concept and, row by row, those that shall stand in for them: two (n, D), float64.

    The last subject tokens of both are matched (a shorter anchor repeats its first subject row in front), then what
    follows is matched position by position; the longer text is cut. Arguments are those of :func:`vectors`.
    """
    ours = concept_rows(backbone, concept, mode, templates, placeholders)
    theirs = concept_rows(backbone, anchor, mode, templates, placeholders)
    pairs = [_pair(a, b) for a, b in zip(ours, theirs, strict=True)]
    return _combine([a for a, _ in pairs], combine), _combine([b for _, b in pairs], combine)


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

    The empty text has no token of its own: its start token stands in (its end token where the model has no start).

    Raises ``ValueError`` for a template without exactly one ``{}`` and for conditionings that are not finite.
    """
    sentences = [fill(template, text) for template in templates]
    with torch.no_grad():
        context = backbone.encode_text(sentences, placeholders).context.double()
    if not torch.isfinite(context).all():
        raise ValueError(f"the text encoder gave values that are not finite for {text!r}: the model file is damaged")
    return [
        _cut(rows, subject_positions(backbone, text, template, placeholders), mode)
        for rows, template in zip(context, templates, strict=True)
    ]


def fill(template: str, text: str) -> str:
    """The template with the text in its place; the empty text stays empty."""
    if template.count("{}") != 1:
        raise ValueError(f"a template needs exactly one {{}} where the concept goes, got {template!r}")
    return template.replace("{}", text) if text else ""


def subject_positions(
    backbone: Backbone, text: str, template: str = "{}", placeholders: Placeholders | None = None
) -> range:
    """The positions of a text's own tokens inside its template, all sub-tokens of all its words.

    Raises ``ValueError`` when the template glues letters to the text, so that no token is the text's own.
    """
    sentence = backbone.tokenize(fill(template, text), placeholders)
    if not sentence.tokens:
        stand_in = sentence.end if sentence.start is None else sentence.start
        return range(stand_in, stand_in + 1)
    first = len(backbone.tokenize(template.partition("{}")[0], placeholders).tokens)
    alone = backbone.tokenize(text, placeholders).tokens
    own = sentence.tokens[first : first + len(alone)]
    others = {token.word for token in (*sentence.tokens[:first], *sentence.tokens[first + len(alone) :])}
    whole = others.isdisjoint(token.word for token in own)
    if not alone or not whole or [token.text for token in own] != [token.text for token in alone]:
        raise ValueError(f"{text!r} is no text of its own inside {template!r}: put a space around the {{}}")
    return range(own[0].position, own[-1].position + 1)


def _cut(rows: Tensor, subject: range, mode: TokenMode) -> ConceptRows:
    if mode == "last_subject":
        return ConceptRows(rows[subject[-1] : subject[-1] + 1], rows[:0])
    if mode == "from_subject_to_end":
        return ConceptRows(rows[subject.start : subject.stop], rows[subject.stop :])
    if mode == "all":
        return ConceptRows(rows[:0], rows)
    raise ValueError(f"unknown token mode {mode!r}, expected last_subject, from_subject_to_end or all")


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
    raise ValueError(f"unknown way to combine templates {combine!r}, expected average or separate")
