"""What a picture shall show, and where: a prompt, and concepts with texts of their own and regions."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..attention.words import occurrences, only_reading, spelling, words_of
from ..backbone import Backbone, Conditioning, Placeholders, TextChanges, TokenizedText
from ..messages import shown
from ..types import LowRank


def within(share: float, start: float, end: float) -> bool:
    """Whether a share of denoising lies in a span; one that ends at 1 holds the last step, too."""
    return start <= share and (share < end or end >= 1)


@dataclass(frozen=True, eq=False)
class Region:
    """A concept and its place.

    Attributes:
        text: what it is, such as "a red cat".
        columns: where its text lies in the composition's context.
        words: positions of its words in the prompt, none where the prompt does not name it.
        subject: those of its last word there, which mostly is the thing itself.
        own: positions in the context of the words of its own text, without articles; none where it is not encoded.
        adapter: a change of the keys and values of its own text, by attention layer and role
            (:func:`.parts.adapters.read_adapter`).
        layers: a change of further layers, by their names in the host (:mod:`.parts.layers`).
        mask: (h, w) in 0..1 on any grid; None where the place is to be found while the picture is sampled.
        weight: how strongly its text counts inside its region, 0 and more; 1 is all of it.
        start: share of denoising from which it counts, 0 is the first step.
        end: share of denoising to which it counts, 1 is the last step.
    """

    text: str
    columns: slice
    words: tuple[int, ...] = ()
    mask: Tensor | None = None
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    subject: tuple[int, ...] = ()
    own: tuple[int, ...] = ()
    adapter: Mapping[tuple[str, str], LowRank] = field(default_factory=dict)
    layers: Mapping[str, LowRank] = field(default_factory=dict)

    def counts(self, share: float) -> float:
        """Its weight at a share of denoising, 0 outside its span."""
        return self.weight if within(share, self.start, self.end) else 0.0


@dataclass(frozen=True, eq=False)
class Composition:
    """A prompt and regions.

    Attributes:
        conditioning: one row; its context holds the prompt, then the text of each region, in their order.
        base: where the prompt lies in the context.
        regions: at least one.
        text: where the prompt's own tokens lie, without start, end and padding; None where that is not known.
        reference: (1, C, h, w) scaled latent of a picture whose layout the composition follows; None for none.
        starts: positions of the prompt's start tokens, one in each chunk; none where the model has none.
    """

    conditioning: Conditioning
    base: slice
    regions: tuple[Region, ...]
    text: slice | None = None
    reference: Tensor | None = None
    starts: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Positions of the context."""
        return int(self.conditioning.context.shape[1])

    @property
    def idle(self) -> bool:
        """Whether no region counts, so that nothing but the prompt is left to draw."""
        return all(region.weight == 0 for region in self.regions)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers beside attention that some region changes, by their names in the host."""
        return tuple(dict.fromkeys(name for region in self.regions for name in region.layers))

    @property
    def prompt(self) -> Conditioning:
        """The conditioning of the prompt alone."""
        return replace(self.conditioning, context=self.conditioning.context[:, self.base])

    @property
    def placed(self) -> bool:
        """Whether every region has a mask."""
        return all(region.mask is not None for region in self.regions)


@dataclass(frozen=True, eq=False)
class Concept:
    """One concept that is asked for: its text and, where it is known, its place; see :class:`Region`. Its text is
    encoded with ``text_changes`` of the text encoders."""

    text: str
    mask: Tensor | None = None
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    adapter: Mapping[tuple[str, str], LowRank] = field(default_factory=dict)
    text_changes: TextChanges = field(default_factory=dict)
    layers: Mapping[str, LowRank] = field(default_factory=dict)


def compose(
    backbone: Backbone,
    prompt: str,
    concepts: Sequence[Concept],
    placeholders: Placeholders | None = None,
    texts: bool = True,
    branches: bool = False,
) -> Composition:
    """Encode a prompt and its concepts into one composition.

    Args:
        backbone: gives the text encoder.
        prompt: what the whole picture shows.
        concepts: what shall be where; at least one.
        placeholders: learnt tokens that the texts name.
        texts: whether the concepts' texts are encoded beside the prompt; otherwise the context is the prompt's alone.
        branches: whether each of them is the prompt with that concept in place of all (:func:`branch_text`).

    Raises ``ValueError`` without concepts, for an empty one, one without place whose words are not in the prompt,
    masks that are no (h, w) of finite values in 0..1, and weights and times out of range.
    """
    if not concepts:
        raise ValueError("there are no concepts to place; write one on each line")
    read = backbone.tokenize(prompt, placeholders)
    whole = backbone.encode_text([prompt], placeholders)
    contexts, regions, start = [whole.context], [], whole.context.shape[1]
    asked: Counter[str] = Counter()
    everything = [concept.text for concept in concepts]
    for concept in concepts:
        words, subject = _places_of(backbone, concept, prompt, read, placeholders, asked[concept.text])
        asked[concept.text] += 1
        columns = slice(0, start)
        own: tuple[int, ...] = ()
        if texts:
            beside = branch_text(prompt, everything, concept.text) if branches else concept.text
            with backbone.text_changed(concept.text_changes) if concept.text_changes else nullcontext():
                context = backbone.encode_text([beside], placeholders).context  # (1, l, D)
            columns = slice(start, start + context.shape[1])
            own = () if branches else _named(backbone, concept.text, placeholders, start)
            contexts.append(context)
            start = columns.stop
        regions.append(_region(concept, columns, words, subject, own))
    joined = replace(whole, context=torch.cat(contexts, dim=1))  # (1, L + sum of l, D)
    return _around(joined, tuple(regions), read, whole.context.shape[1], backbone.tokenize("").length)


def _places_of(
    backbone: Backbone,
    concept: Concept,
    prompt: str,
    read: TokenizedText,
    placeholders: Placeholders | None,
    turn: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """As :func:`_words_of`. Raises ``ValueError`` for values out of range, and without words where they are needed."""
    _check(concept)
    words, subject = _words_of(backbone, concept.text, read, placeholders, turn)
    if concept.mask is None and not words:
        raise ValueError(
            f"no word of {shown(concept.text)} is in the prompt {shown(prompt)}: without a region the place of a "
            "concept is found by its words; name it in the prompt, or give it a region"
        )
    return words, subject


def _region(
    concept: Concept, columns: slice, words: tuple[int, ...], subject: tuple[int, ...], own: tuple[int, ...]
) -> Region:
    """The region of a concept whose words have been looked up."""
    return Region(
        concept.text,
        columns,
        words,
        concept.mask,
        concept.weight,
        concept.start,
        concept.end,
        subject,
        own,
        concept.adapter,
        concept.layers,
    )


def _around(
    conditioning: Conditioning, regions: tuple[Region, ...], read: TokenizedText, length: int, chunk: int
) -> Composition:
    """The composition of a prompt that takes the first ``length`` rows, in chunks of ``chunk``."""
    positions = [token.position for token in only_reading(read).tokens]
    text = slice(min(positions), max(positions) + 1) if positions else None
    starts = () if read.start is None else tuple(range(read.start, length, chunk))
    return Composition(conditioning, slice(0, length), regions, text, starts=starts)


def branch_text(prompt: str, texts: Sequence[str], chosen: str) -> str:
    """The prompt in which one concept takes the place of all: wherever one of the texts stands as whole words, in any
    case of letters, ``chosen`` does. A prompt that names none of them is ``chosen`` alone."""
    longest_first = sorted({text.strip() for text in texts}, key=len, reverse=True)
    any_of = "|".join(re.escape(text) for text in longest_first)
    replaced, count = re.subn(rf"(?<!\w)(?:{any_of})(?!\w)", lambda _: chosen, prompt, flags=re.IGNORECASE)
    return replaced if count else chosen


def _named(backbone: Backbone, text: str, placeholders: Placeholders | None, start: int) -> tuple[int, ...]:
    """Where the words of a text, without articles, lie in a context that it begins at ``start``."""
    words = words_of(only_reading(backbone.tokenize(text, placeholders)))
    return tuple(start + place for name, places in words if name not in ARTICLES for place in places)


def _words_of(
    backbone: Backbone, text: str, prompt: TokenizedText, placeholders: Placeholders | None, turn: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions in the prompt of the whole text of a concept, else of its words without articles, else none; and those
    of the last word among them. A text that is asked for again (``turn``) is looked for further on."""
    prompt = only_reading(prompt)
    spelt = spelling(backbone.tokenize(text, placeholders))
    whole = occurrences(prompt, spelt) if spelt else ()
    if whole:
        chosen = whole[min(turn, len(whole) - 1)]
        last = next(places for _, places in words_of(prompt) if chosen[-1] in places)
        return chosen, tuple(place for place in last if place in chosen)
    found: list[tuple[int, ...]] = []
    for word in text.split():
        name = spelling(backbone.tokenize(word, placeholders))
        if name and name not in ARTICLES:
            runs = list(occurrences(prompt, name))
            found += runs[min(turn, len(runs) - 1) :][:1]
    return tuple(sorted({place for run in found for place in run})), found[-1] if found else ()


ARTICLES = frozenset({"a", "an", "the", "of", "and", ","})
"""Words that do not distinguish a concept from another."""


def _check(concept: Concept) -> None:
    if not concept.text.strip():
        raise ValueError("a concept has no text; write what it is, such as: a red cat")
    if not 0 <= concept.start < concept.end <= 1:
        raise ValueError(
            f"{shown(concept.text)} counts from {concept.start:g} to {concept.end:g}; expected a span within 0 to 1"
        )
    if not 0 <= concept.weight <= 4:
        raise ValueError(f"the weight of {shown(concept.text)} is {concept.weight:g}; expected 0 to 4")
    mask = concept.mask
    if mask is None:
        return
    if mask.ndim != 2 or not mask.numel() or not bool(torch.isfinite(mask).all()):
        raise ValueError(f"the region of {shown(concept.text)} must be (h, w) finite values, got {tuple(mask.shape)}")
    if float(mask.min()) < 0 or float(mask.max()) > 1:
        raise ValueError(f"the region of {shown(concept.text)} must lie in 0 to 1")
    if float(mask.max()) == 0:
        raise ValueError(f"the region of {shown(concept.text)} is empty")
