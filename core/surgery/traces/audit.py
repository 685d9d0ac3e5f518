"""Whether a concept is still inside a model from which it was erased.

An erasure can act at four depths: on what the text encoder has stored (its value vectors), on what it gives, on what
the denoiser's keys and values make of that, and on what is predicted in the end. Knowledge traces (Hong et al., EMNLP
2025, arXiv 2406.11614) found that unlearning language models mostly leaves the first alone; here all four are measured,
the third for other words for the concept as well: paraphrases, and typos that people make. A model that has
relearnt the concept through other weights reads nothing and predicts it all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...backbone import Backbone
from ...messages import listed
from ...sampling import with_rows
from ..begun import PRESETS, OnPass, ScoutSettings, begin
from .reading import OnTexts, WordReader, apart, goals, matched, presence, reach, value_weights
from .vectors import ValueVector

OPEN, CLOSED = 0.5, 0.2
"""Shares of what the original model reads: at the first or more a way to the concept is open, at the second or
less it is closed."""
COMPARED = 4
"""Matched words whose predictions the concept's are compared with, at most."""
CHANGED = 0.2
"""How far a value vector must have moved to count as changed, in shares of its length."""


Depth = Literal["none", "text encoder", "keys and values", "behind the text", "undone"]
"""Where an erasure acts; ``undone`` is one whose concept the model has relearnt through other weights."""


@dataclass(frozen=True)
class Way:
    """A word that may lead to the concept.

    Attributes:
        word: what is written.
        kind: ``name``, ``other word`` or ``typo``.
        before: how far it reaches the concept in the original model; 1 is as far as the concept's name.
        after: how far in the erased model.
    """

    word: str
    kind: str
    before: float
    after: float

    @property
    def verdict(self) -> str:
        """Whether the erased model still takes it for the concept."""
        if self.before < CLOSED:
            return "never led there"
        if self.after >= OPEN:
            return "open"
        return "closed" if self.after <= CLOSED else "partly open"


@dataclass(frozen=True, eq=False)
class InsideAudit:
    """What is left of a concept inside a model.

    Attributes:
        concept: its name.
        moves: (n,) how far each value vector moved, in shares of its length.
        text: how present the concept is in what the erased text encoder gives; 1 is as in the original.
        ways: words that may lead to it, its name first.
        chance: how far matched words reach in the original at most.
        kept: how far the matched words still say what they said in the erased model, at the keys and values.
        predicted: how far the concept's prompt leads the erased model's predictions where it led the original's, away
            from those of the empty prompt and of every matched word; 1 is as far, 0 not at all, below 0 the other way.
    """

    concept: str
    moves: Tensor
    text: float
    ways: tuple[Way, ...]
    chance: float
    kept: float
    predicted: float

    @property
    def traces(self) -> float | None:
        """Share of the value vectors that are what they were; None if none were given."""
        return float((self.moves < CHANGED).float().mean()) if len(self.moves) else None

    @property
    def depth(self) -> Depth:
        """At which depth the erasure acts."""
        if self.predicted >= OPEN:
            return "none" if self.ways[0].after >= OPEN else "undone"
        if self.text < OPEN:
            return "text encoder"
        return "behind the text" if self.ways[0].after >= OPEN else "keys and values"

    @property
    def verdict(self) -> str:
        """What kind of erasure this is, in one sentence."""
        open_ways = [way.word for way in self.ways[1:] if way.verdict == "open"]
        where = _WHERE[self.depth] or self._text_said()
        if self.depth == "keys and values":
            where += "no longer reads it" if self.ways[0].after <= CLOSED else "reads it only in part"
        if open_ways and self.depth in ("text encoder", "keys and values"):
            return f"{where}, but {listed(open_ways)} still lead to it."
        return f"{where}."

    def _text_said(self) -> str:
        if self.text > CLOSED:
            return "The text encoder says the concept only in part"
        if self.traces is not None and self.traces >= OPEN:
            return "The text encoder no longer says the concept, though its stored vectors are what they were"
        return "The concept is gone from the text encoder"


_WHERE: Mapping[Depth, str] = {
    "none": "The concept is not erased: its own name still reaches the denoiser, which predicts it as before",
    "undone": "The concept is back by another route: its name no longer reaches it through the keys and "
    "values, yet the model predicts it, as a model that has relearnt it does",
    "behind the text": "The concept's name still reaches the denoiser, which no longer predicts it: what was changed "
    "lies after the keys and values",
    "keys and values": "The text encoder still says the concept; the denoiser ",
    "text encoder": "",
}


def audit(
    original: Backbone,
    erased: Backbone,
    concept: str,
    others: Sequence[str],
    words: Sequence[tuple[str, str]] = (),
    vectors: Sequence[ValueVector] = (),
    on_texts: OnTexts = lambda count: None,
    drawing: ScoutSettings = PRESETS["small"],
    seed: int = 0,
    on_pass: OnPass = lambda pictures: None,
) -> InsideAudit:
    """Look for a concept inside an erased model.

    Args:
        original: the model before.
        erased: the model after, with its text encoder.
        concept: what was erased.
        others: matched words, at least two.
        words: further words that may lead to it, each with its kind.
        vectors: of the original text encoder, that carry the concept.
        on_texts: called with how many texts each pass encodes.
        drawing: how pictures are begun at whose steps predictions are compared.
        seed: of these pictures.
        on_pass: called with how many pictures a model pass read.

    Raises ``ValueError`` for too few matched words, and for models of two kinds.
    """
    compared = matched(concept, others)
    with torch.no_grad():
        moves = _moved(original, erased, vectors) if vectors else torch.zeros(0)
        before = apart(WordReader(original, compared, on_texts).contexts())
        said = presence(WordReader(erased, compared, on_texts).contexts(), before)
        asked = [concept, *(word for word, _ in words)]
        first, ways, kept, chance = _reaches(original, erased, compared, asked, on_texts)
        predicted = _predicted(original, erased, compared[: 1 + COMPARED], drawing, seed, on_pass)
    kinds = ["name", *(kind for _, kind in words)]
    found = tuple(
        Way(word, kind, float(a), float(b)) for word, kind, a, b in zip(asked, kinds, first, ways, strict=True)
    )
    return InsideAudit(concept, moves, float(said[0]), found, chance, kept, predicted)


def passes_of(others: int, drawing: ScoutSettings) -> int:
    """Pictures that :func:`audit` passes through either model, given the number of matched words."""
    return drawing.draws * drawing.steps * (5 + min(COMPARED, others))


def typos(word: str) -> list[str]:
    """Ways in which people mistype a word, or the longest one of a phrase: a letter left out, two exchanged, one twice.
    None for words of less than three letters."""
    long = max(word.split(), key=len)
    if len(long) < 3:
        return []
    middle = len(long) // 2
    wrong = (
        long[:middle] + long[middle + 1 :],
        long[: middle - 1] + long[middle] + long[middle - 1] + long[middle + 1 :],
        long[: middle + 1] + long[middle:],
    )
    return [word.replace(long, one, 1) for one in dict.fromkeys(wrong) if one != long]


def _moved(original: Backbone, erased: Backbone, vectors: Sequence[ValueVector]) -> Tensor:
    """(n,) how far value vectors moved, in shares of their length."""
    before, after = value_weights(original), value_weights(erased)
    known = [{place: weight.shape[1] for place, weight in both.items()} for both in (before, after)]
    if any(one.index >= of.get(one.place[:2], 0) for one in vectors for of in known):
        raise ValueError("the concept vectors were found in another text encoder; find them in the original CLIP")
    pairs = [
        (before[one.place[:2]][:, one.index].float().cpu(), after[one.place[:2]][:, one.index].float().cpu())
        for one in vectors
    ]
    return torch.stack([(b - a).norm() / a.norm().clamp(min=1e-12) for a, b in pairs])


def _predicted(
    original: Backbone, erased: Backbone, words: Sequence[str], settings: ScoutSettings, seed: int, on_pass: OnPass
) -> float:
    """How far the erased model's predictions for the first word lead to where they led, while the original draws it.

    Of p, what the original predicts for the concept, p' of the erased model, and p_r of the original for another text:
    the least over r of <p' - p_r, p - p_r> / |p - p_r|^2, each summed over all steps. The other texts are the empty
    one, which a concept that was erased falls back to, and the matched words, of which one may be what it was read as:
    seen from either alone, a model that draws the other seems to lead to the concept. The empty prompt is the
    original's, since a model that has relearnt the concept may draw it without being asked.
    """
    texts = [*(settings.template.replace("{}", word) for word in words), ""]
    encoded = [original.encode_text([text]) for text in texts]
    anew = erased.encode_text(texts[:1])
    products: list[Tensor] = []

    def compare(_: Backbone, latent: Tensor, time: Tensor) -> Tensor:
        before, after, *others = (
            model.predict_noise(latent, time, with_rows(text, len(latent))).float().flatten()
            for model, text in ((original, encoded[0]), (erased, anew), *((original, text) for text in encoded[1:]))
        )
        on_pass((1 + len(texts)) * len(latent))
        pairs = [((after - other) @ (before - other), (before - other).square().sum()) for other in others]
        products.append(torch.stack([torch.stack(pair) for pair in pairs]).cpu())  # (R, 2)
        return latent

    begin(original, encoded[0], settings, seed, compare, on_pass)
    sums = torch.stack(products).sum(0)
    return float((sums[:, 0] / sums[:, 1].clamp(min=1e-12)).min())


def _reaches(
    original: Backbone, erased: Backbone, compared: Sequence[str], asked: Sequence[str], on_texts: OnTexts
) -> tuple[Tensor, Tensor, float, float]:
    """(A,) how far words reach the concept before and after, how far matched words keep their own, and chance."""
    old, new = (
        [one for one in model.key_value_weights() if one.role != "pooled"]  # which does not read the text's rows
        for model in (original, erased)
    )
    if [one.weight.shape for one in old] != [one.weight.shape for one in new]:
        raise ValueError("the two models differ in more than their parameters; connect the model before and after")
    rows = WordReader(original, compared, on_texts).entering()  # (W, T, R, D)
    middle = rows[1:].mean(0)
    towards = goals(rows[0], middle, old)
    ways = WordReader(original, asked, on_texts).entering()
    before = reach(ways, old, towards, middle)
    changed = WordReader(erased, compared, on_texts).entering()
    after = reach(WordReader(erased, asked, on_texts).entering(), new, towards, changed[1:].mean(0))
    chance = float(reach(rows[1:], old, towards, middle).max())
    own = [
        float(reach(changed[at : at + 1], new, goals(rows[at], middle, old), changed[1:].mean(0)))
        for at in range(1, len(rows))
    ]
    return before, after, sum(own) / len(own), chance
