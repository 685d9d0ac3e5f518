"""Concept vectors: value vectors of a text encoder's feed-forward layers that carry a concept (after parametric
knowledge traces, Hong et al., EMNLP 2025, arXiv 2406.11614).

    FFN(x) = sum_j m_j(x) v_j ,  v_j the columns of the second weight

The paper reads v_j through the language model's head; text encoders of image models have none, so the search is causal.
With P_w how present word w is compared with matched words in the same sentences, setting v_j to 0 changes P_w by
-<dP_w/dv_j, v_j> to first order. Vectors are ranked by what that takes from the concept, less what it takes on average
from the matched words, a few at a time with those before already 0; then each is set to 0 and P is measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...backbone import Backbone, TextChanges
from ...settings import Settings, setting
from ...types import FullChange, LowRank
from .reading import OnTexts, WordReader, apart, matched, presence, value_weights

SELECTIVE = 5.0
"""A vector belongs to the concept alone if it takes this many times more from it than from matched words."""
EditKind = Literal["scale", "noise"]


@dataclass(frozen=True)
class TraceSettings(Settings):
    """How vectors are found. Raises ``ValueError`` for values outside their range."""

    count: int = setting(32, "Value vectors to find.", least=1, most=1024)
    rounds: int = setting(4, "Parts they are found in; later ones see the effect of those before.", least=1, most=64)
    spare: float = setting(2.0, "How much the effect on other words counts against a vector.", least=0)


@dataclass(frozen=True)
class ValueVector:
    """A value vector of a feed-forward layer.

    Attributes:
        encoder: the text encoder.
        weight: name of the layer's second weight.
        index: the column.
        taken: how much of the concept's presence goes when the vector is set to 0; 1 is all.
        spared: the same of the matched words, on average, without sign.
    """

    encoder: str
    weight: str
    index: int
    taken: float = 0.0
    spared: float = 0.0

    @property
    def layer(self) -> int:
        """The number of its layer, from 0."""
        return int(self.weight.split(".")[2])

    @property
    def selective(self) -> bool:
        """Whether it belongs to the concept rather than to all words."""
        return self.taken > 0 and self.taken >= SELECTIVE * self.spared

    @property
    def place(self) -> tuple[str, str, int]:
        """What identifies it."""
        return self.encoder, self.weight, self.index


@dataclass(frozen=True, eq=False)
class ConceptVectors:
    """The value vectors that carry a concept.

    Attributes:
        concept: the word.
        others: the words it was compared with.
        family: of the model.
        vectors: those found, in the order in which they were.
        left: (1 + others,) how present each word is with all of them at 0.
    """

    concept: str
    others: tuple[str, ...]
    family: str
    vectors: tuple[ValueVector, ...]
    left: tuple[float, ...]


def find_vectors(
    backbone: Backbone,
    concept: str,
    others: Sequence[str],
    settings: TraceSettings,
    on_texts: OnTexts = lambda count: None,
) -> ConceptVectors:
    """The value vectors that carry a concept, compared with words of its kind.

    Raises ``ValueError`` for a model without CLIP text encoders, for too few other words, and if words are read
    alike.
    """
    words = matched(concept, others)
    with torch.inference_mode(False), torch.enable_grad():
        search = _Search(backbone, words, on_texts)
        chosen: list[ValueVector] = []
        for number in range(settings.rounds):
            wanted = settings.count * (number + 1) // settings.rounds - len(chosen)
            chosen += search.best(chosen, wanted, settings.spare) if wanted else []
        measured = [search.measured(one) for one in chosen]
        left = search.left(chosen)
    return ConceptVectors(concept, tuple(words[1:]), backbone.family, tuple(measured), tuple(left.tolist()))


class _Search:
    def __init__(self, backbone: Backbone, words: Sequence[str], on_texts: OnTexts) -> None:
        self._backbone, self._reader = backbone, WordReader(backbone, words, on_texts)
        self._weights = {place: one.detach().float().clone() for place, one in value_weights(backbone).items()}
        with torch.no_grad():
            self._original = apart(self._reader.contexts().clone())  # (W, T, R, D)
        size = self._original.square().sum(-1).mean((1, 2))  # (W,)
        if float(size.min()) < 1e-8:
            alike = words[int(size.argmin())]
            raise ValueError(f"the text encoder reads {alike} as it reads the other words; give other words")

    def best(self, chosen: Sequence[ValueVector], count: int, spare: float) -> list[ValueVector]:
        """The next vectors, given that those chosen are at 0."""
        leaves = {place: change.requires_grad_() for place, change in self._zeroed(chosen).items()}
        with self._backbone.text_changed(_by_encoder({place: FullChange(leaf) for place, leaf in leaves.items()})):
            present = presence(self._reader.contexts(), self._original)  # (W,)
            drops = [self._drops(present[word], leaves, word + 1 < len(present)) for word in range(len(present))]
        concept, others = drops[0], torch.stack(drops[1:]).abs().mean(0)  # (all columns,)
        scores = concept - spare * others
        for one in chosen:
            scores[self._at(one)] = -torch.inf
        taken = scores.topk(min(count, len(scores))).indices.tolist()
        return [self._vector(at) for at in taken]

    @torch.no_grad()
    def measured(self, one: ValueVector) -> ValueVector:
        """A vector with what setting it alone to 0 takes."""
        lost = 1 - self.left([one])
        return ValueVector(*one.place, float(lost[0]), float(lost[1:].abs().mean()))

    @torch.no_grad()
    def left(self, chosen: Sequence[ValueVector]) -> Tensor:
        """(W,) how present words are with vectors at 0."""
        changes = {place: FullChange(change) for place, change in self._zeroed(chosen).items() if bool(change.any())}
        with self._backbone.text_changed(_by_encoder(changes)):
            return presence(self._reader.contexts(), self._original).cpu()

    def _zeroed(self, chosen: Sequence[ValueVector]) -> dict[tuple[str, str], Tensor]:
        changes = {place: torch.zeros_like(weight) for place, weight in self._weights.items()}
        for one in chosen:
            changes[one.place[:2]][:, one.index] = -self._weights[one.place[:2]][:, one.index]
        return changes

    def _drops(self, present: Tensor, leaves: Mapping[tuple[str, str], Tensor], again: bool) -> Tensor:
        """(all columns,) what setting each column to 0 takes from a word, to first order."""
        # SDXL reads the layer before the last, so that the last one has no gradient.
        found = torch.autograd.grad(
            present, list(leaves.values()), retain_graph=again, allow_unused=True, materialize_grads=True
        )
        parts = [(g * self._weights[place]).sum(0) for place, g in zip(leaves, found, strict=True)]  # (n,) each
        return torch.cat(parts).cpu()

    def _at(self, one: ValueVector) -> int:
        start = 0
        for place, weight in self._weights.items():
            if place == one.place[:2]:
                return start + one.index
            start += weight.shape[1]
        raise KeyError(one.place)

    def _vector(self, at: int) -> ValueVector:
        for (encoder, name), weight in self._weights.items():
            if at < weight.shape[1]:
                return ValueVector(encoder, name, at)
            at -= weight.shape[1]
        raise IndexError(at)


def edited(
    backbone: Backbone,
    vectors: Sequence[ValueVector],
    kind: EditKind,
    amount: float,
    generator: torch.Generator,
) -> dict[str, dict[str, LowRank]]:
    """The change of text encoders that edits value vectors.

    Args:
        backbone: of the text encoder.
        vectors: which.
        kind: ``scale`` makes v into ``amount * v``. ``noise`` adds noise of ``amount`` times the length of v; the paper
            adds noise of one size to all, which overwrites short vectors and leaves long ones.
        amount: 0 or less for ``scale`` removes or turns around; 0 for ``noise`` changes nothing.
        generator: of the noise.

    Raises ``ValueError`` for vectors of another text encoder.
    """
    weights, found = value_weights(backbone), {}
    for place in dict.fromkeys(one.place[:2] for one in vectors):
        columns = sorted({one.index for one in vectors if one.place[:2] == place})
        weight = weights.get(place)
        if weight is None or columns[-1] >= weight.shape[1]:
            raise ValueError("the concept vectors were found in another text encoder; find them in this one")
        held = weight[:, columns].float().cpu().clone()  # (d, k)
        up = (amount - 1) * held
        if kind == "noise":
            noise = torch.randn(held.shape, generator=generator)
            up = amount * held.norm(dim=0) * noise / noise.norm(dim=0).clamp(min=1e-12)
        down = torch.zeros(len(columns), weight.shape[1])
        down[range(len(columns)), columns] = 1
        found[place] = LowRank(up, down)
    edit: dict[str, dict[str, LowRank]] = {}
    for (encoder, name), change in found.items():
        edit.setdefault(encoder, {})[name] = change
    return edit


def readout(backbone: Backbone, vectors: Sequence[ValueVector], count: int = 4) -> list[tuple[str, ...]]:
    """For each vector the words whose rows of the input table it is most like. Only a hint: these encoders have no
    output table."""
    vocabulary, weights = backbone.vocabulary(), value_weights(backbone)
    tables = {name: torch.nn.functional.normalize(rows.float(), dim=-1) for name, rows in vocabulary.vectors.items()}
    said = []
    for one in vectors:
        column = weights[one.place[:2]][:, one.index].float().to(tables[one.encoder])
        likeness = tables[one.encoder] @ column  # (V,)
        said.append(tuple(vocabulary.words[at] for at in likeness.topk(min(count, len(likeness))).indices.tolist()))
    return said


def passes_of(words: int, templates: int, settings: TraceSettings) -> int:
    """Texts that :func:`find_vectors` encodes."""
    return words * templates * (2 + settings.rounds + settings.count)


def _by_encoder(changes: Mapping[tuple[str, str], FullChange | LowRank]) -> TextChanges:
    found: dict[str, dict[str, FullChange | LowRank]] = {}
    for (encoder, name), change in changes.items():
        found.setdefault(encoder, {})[name] = change
    return found
