"""What a picture shall show, and where: a prompt, and concepts with texts of their own and regions."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ..attention.words import only_reading
from ..backbone import Backbone, Conditioning, Placeholders, TextChanges, TokenizedText
from ..messages import shown
from ..types import LowRank
from .wording import Named, branch_text, contains, named_in, own_words


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
        singly: as in :class:`.wording.Named`; none where the prompt contains the whole text, or nothing of it.
        extras: what the model reads beside its own text (:attr:`Conditioning.extras`); none where it is not encoded.
        written: whether the prompt contains the text as it is written, so that another can take its place there.
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
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    singly: tuple[tuple[str, int], ...] = ()
    written: bool = True

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
        joint: whether the model that draws it reads text and picture in one softmax, as far as that is known.
    """

    conditioning: Conditioning
    base: slice
    regions: tuple[Region, ...]
    text: slice | None = None
    reference: Tensor | None = None
    starts: tuple[int, ...] = ()
    joint: bool = False

    @property
    def length(self) -> int:
        """Positions of the context."""
        return int(self.conditioning.context.shape[1])

    @property
    def idle(self) -> bool:
        """Whether no region counts, so that nothing but the prompt is left to draw."""
        return all(region.weight == 0 for region in self.regions)

    @property
    def things(self) -> tuple[int, ...]:
        """The numbers of the regions that are not styles; see :func:`things_among`."""
        return things_among([region.mask for region in self.regions])

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers beside attention that some region changes, by their names in the host."""
        return tuple(dict.fromkeys(name for region in self.regions for name in region.layers))

    @property
    def prompt(self) -> Conditioning:
        """The conditioning of the prompt alone."""
        return replace(self.conditioning, context=self.conditioning.context[:, self.base])

    def own(self, region: Region) -> Conditioning:
        """The conditioning of a region's own text alone."""
        return Conditioning(self.conditioning.context[:, region.columns], region.extras)

    @property
    def placed(self) -> bool:
        """Whether every region has a mask."""
        return all(region.mask is not None for region in self.regions)


def whole_picture(masks: Tensor) -> Tensor:
    """Whether each of the masks (..., h, w) takes the whole picture, as a style does: no cell is below a half."""
    return masks.amin((-2, -1)) >= 0.5


def things_among(masks: Sequence[Tensor | None]) -> tuple[int, ...]:
    """The numbers of the concepts that have places of their own, by the mask (h, w) of each; None is a place that is
    found. The others take the whole picture and are styles: they belong to every thing. Where all take it, as a single
    concept may, all of them are things."""
    own = [number for number, mask in enumerate(masks) if mask is None or not bool(whole_picture(mask))]
    return tuple(own or range(len(masks)))


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
    for concept in concepts:
        _check(concept)
    read = backbone.tokenize(prompt, placeholders)
    whole = backbone.encode_text([prompt], placeholders)
    contexts, regions, start = [whole.context], [], whole.context.shape[1]
    named = named_in(backbone, read, [concept.text for concept in concepts], placeholders)
    things = things_among([concept.mask for concept in concepts])
    things_said = [concepts[number].text for number in things]
    styles = [concept.text for number, concept in enumerate(concepts) if number not in things]
    for number, (concept, said) in enumerate(zip(concepts, named, strict=True)):
        _check_named(concept, said, prompt)
        columns = slice(0, start)
        own: tuple[int, ...] = ()
        extras: Mapping[str, Tensor] = {}
        if texts and branches and number not in things:
            _check_style(concept)
            columns = slice(start, start)  # it stays in the text of every branch
        elif texts:
            beside = branch_text(prompt, things_said, concept.text, styles) if branches else concept.text
            with backbone.text_changed(concept.text_changes) if concept.text_changes else nullcontext():
                encoded = backbone.encode_text([beside], placeholders)
            context, extras = encoded.context, encoded.extras  # (1, l, D)
            columns = slice(start, start + context.shape[1])
            own = () if branches else own_words(backbone, concept.text, placeholders, start)
            contexts.append(context)
            start = columns.stop
        regions.append(
            replace(_region(concept, columns, said, own), extras=extras, written=contains(prompt, concept.text))
        )
    joined = replace(whole, context=torch.cat(contexts, dim=1))  # (1, L + sum of l, D)
    return _around(joined, tuple(regions), read, whole.context.shape[1], backbone.tokenize("").length)


def _check_named(concept: Concept, said: Named, prompt: str) -> None:
    """Raise ``ValueError`` without words where the place of a concept is found by them."""
    if concept.mask is None and not said.words:
        raise ValueError(
            f"no word of {shown(concept.text)} is in the prompt {shown(prompt)}: without a region the place of a "
            "concept is found by its words; name it in the prompt, or give it a region"
        )


def _check_style(concept: Concept) -> None:
    """Raise ``ValueError`` for a LoRA of a concept that has no branch, in which alone it would act."""
    if concept.adapter or concept.layers or concept.text_changes:
        raise ValueError(
            f"{shown(concept.text)} takes the whole picture, so it is part of the pass of every concept and has none "
            "of its own, in which its LoRA could act; load that LoRA into the model before, which is the same, or give "
            "the concept a smaller region"
        )


def _region(concept: Concept, columns: slice, said: Named, own: tuple[int, ...]) -> Region:
    """The region of a concept whose words have been looked up."""
    return Region(
        concept.text,
        columns,
        said.words,
        concept.mask,
        concept.weight,
        concept.start,
        concept.end,
        said.subject,
        own,
        concept.adapter,
        concept.layers,
        singly=said.singly,
    )


def _around(
    conditioning: Conditioning, regions: tuple[Region, ...], read: TokenizedText, length: int, chunk: int
) -> Composition:
    """The composition of a prompt that takes the first ``length`` rows, in chunks of ``chunk``."""
    positions = [token.position for token in only_reading(read).tokens]
    text = slice(min(positions), max(positions) + 1) if positions else None
    starts = () if read.start is None else tuple(range(read.start, length, chunk))
    return Composition(conditioning, slice(0, length), regions, text, starts=starts)


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
