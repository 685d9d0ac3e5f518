"""The sentences of a prompt as people write them: read by the text encoder, compared, and given parts of denoising."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ....core.attention.words import only_reading, words_of
from ....core.backbone import Backbone, Placeholders
from ....core.messages import listed, shown
from ....core.prompts.schedule import Span, joining
from ....core.prompts.sentences import (
    REFERENCE,
    Relation,
    RobustScale,
    relations,
    robust_scale,
    similarities,
    split_sentences,
)
from ...shared.families import FAMILIES

COLUMNS = ("sentence", "other sentence", "similarity", "says the same", "may contradict")


def sentences_in(text: str) -> list[str]:
    """The sentences of a prompt, at least one. Raises ``ValueError`` for a text without any."""
    found = split_sentences(text)
    if not found:
        raise ValueError("text has no sentences; write some, each with a full stop behind it or on a line of its own")
    return found


def compare(
    backbone: Backbone, sentences: Sequence[str], placeholders: Placeholders, redundant: float
) -> tuple[list[Relation], Tensor]:
    """Every two sentences, and how like they are (n, n)."""
    read = [feature(backbone, sentence, placeholders) for sentence in sentences]
    features = torch.stack([row for _, row in read])  # (n, D)
    likeness = similarities(features, scale_of(backbone))
    return relations([words for words, _ in read], likeness, redundant), likeness


def feature(backbone: Backbone, sentence: str, placeholders: Placeholders) -> tuple[list[str], Tensor]:
    """The words of a sentence, and the mean (D,) of their rows when it is encoded alone.

    Raises ``ValueError`` for an encoder whose rows are not those of words.
    """
    read = words_of(only_reading(backbone.tokenize(sentence, placeholders)))
    context = backbone.encode_text([sentence], placeholders).context[0].float().cpu()  # (L, D)
    places = [place for _, held in read for place in held]
    if max(places, default=-1) >= len(context):
        raise ValueError(f"the text encoder of {FAMILIES[backbone.family].title} gives no row for each word, only ids")
    rows = context[places] if places else context
    return [word for word, _ in read], rows.mean(0)


def scale_of(backbone: Backbone) -> RobustScale:
    """The scale of the encoder's sentences, from those of :data:`REFERENCE`."""
    return robust_scale(torch.stack([feature(backbone, text, {})[1] for text in REFERENCE]))


def row_scale(backbone: Backbone) -> RobustScale:
    """The scale of single rows, from all positions of the reference sentences."""
    rows = [backbone.encode_text([text]).context[0].float().cpu() for text in REFERENCE]
    return robust_scale(torch.cat(rows))


def ranges_of(lines: Sequence[str], count: int) -> list[tuple[float, float]]:
    """The range of each sentence; without lines each later sentence joins the first.

    Args:
        lines: ``0 - 0.5`` or ``0 0.5``, one for each sentence.
        count: of sentences.

    Raises ``ValueError`` for another number of lines, and for a line that is no range.
    """
    if not lines:
        return joining(count)
    if len(lines) != count:
        raise ValueError(f"there are {count} sentences and {len(lines)} ranges; write a range for each, or none")
    return [_range(line) for line in lines]


def _range(line: str) -> tuple[float, float]:
    parts = line.replace("-", " ").replace(",", " ").split()
    try:
        start, end = (float(part) for part in parts)
    except ValueError as error:
        raise ValueError(
            f"ranges has the line {shown(line)}; expected two numbers from 0 to 1, such as 0 - 0.5"
        ) from error
    return start, end


def joined(sentences: Sequence[str], span: Span) -> str:
    """The prompt of a part of denoising."""
    return ". ".join(sentences[number] for number in span.sentences)


def of_one_shape(contexts: Sequence[Tensor]) -> Tensor:
    """Contexts (1, L, D) as one (n, L, D). Raises ``ValueError`` for sentences that differ in length: their rows are
    not one another's."""
    if len({context.shape[1] for context in contexts}) > 1:
        rows = listed(str(context.shape[1]) for context in contexts)
        raise ValueError(
            f"the sentences take {rows} rows of this text encoder, and only equal numbers can be blended; choose "
            "schedule"
        )
    return torch.cat(list(contexts)).float().cpu()


def shares_of(text: str, count: int) -> list[float]:
    """How much of each sentence a blend takes: numbers with commas; empty takes all alike. Raises ``ValueError`` for
    what is no number, or another number of them."""
    parts = text.replace("\n", ",").split(",")
    given = [part.strip() for part in parts if part.strip()]
    if not given:
        return [1.0] * count
    try:
        shares = [float(part) for part in given]
    except ValueError as error:
        raise ValueError(f"shares is {shown(text)}; expected a number for each of the {count} sentences") from error
    if len(shares) != count or not all(0 <= share < float("inf") for share in shares):
        raise ValueError(f"shares needs a number of 0 or more for each of the {count} sentences, got {shown(text)}")
    return shares


def rows_of(found: Sequence[Relation], sentences: Sequence[str]) -> list[list[str]]:
    """A row for every two sentences, in the order of :data:`COLUMNS`."""
    return [
        [
            sentences[one.first],
            sentences[one.second],
            f"{one.similarity:.4f}",
            "yes" if one.redundant else "no",
            "" if one.against is None else " / ".join(one.against),
        ]
        for one in found
    ]


def described(found: Sequence[Relation], sentences: Sequence[str], spans: Sequence[Span]) -> str:
    """What was found, for people."""
    said = [f"{number}  {sentence}" for number, sentence in enumerate(sentences, 1)]
    for one in found:
        pair = f"Sentences {one.first + 1} and {one.second + 1}"
        if one.redundant:
            said.append(f"{pair} say the same (similarity {one.similarity:.2f}).")
        if one.against is not None:
            said.append(f"{pair} may contradict one another: {' or '.join(one.against)}.")
    if len(found) and not any(one.redundant or one.against for one in found):
        most = max(found, key=lambda one: one.similarity)
        said.append(f"No two sentences say the same; the highest similarity is {most.similarity:.2f}.")
    for span in spans if len(spans) > 1 else ():
        held = listed([str(number + 1) for number in span.sentences])
        said.append(f"From {span.start:.0%} to {span.end:.0%} of denoising: {held}.")
    return "\n".join(said)
