"""How much information words give a model about a picture, cell by cell, in nats.

Kong et al., "Interpretable Diffusion via Information Decomposition", ICLR 2024, arXiv 2310.07972: a denoiser that reads
a text predicts the noise better the more the text says of the picture, and the gap, added up over all levels of noise,
is information. What two words give is divided as in Dewan et al., "Diffusion PID: Interpreting Diffusion via Partial
Information Decomposition", NeurIPS 2024, arXiv 2406.05191. Only predictions are read, so every model will do.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..attention.words import find_word
from ..backbone import Backbone, Placeholders
from ..messages import shown
from ..sampling import encode_for_passes
from ..schedule import Schedule
from ..settings import setting
from ..steps import OnStep

Estimator = Literal["orthogonal", "standard"]

_EMPTY_GROUP = re.compile(r"(?<!\\)\(\s*(?::\s*[\d.]+\s*)?\)")
"""Brackets that give a weight to nothing: ``()``, ``(:1.2)``; escaped ones are text."""


@dataclass(frozen=True)
class InformationSettings:
    """How information is estimated; each field's help is in its metadata. The span of noise is the papers'."""

    draws: int = setting(50, "Levels of noise that are drawn; more give smoother maps.")
    location: float = setting(1.0, "Middle of the levels, as the logarithm of signal to noise.")
    scale: float = setting(2.0, "Spread of the levels around the middle.")
    clip: float = setting(3.0, "How many spreads the levels reach to each side.")
    estimator: Estimator = setting("orthogonal", "orthogonal is steady and never negative; standard is unbiased.")

    def __post_init__(self) -> None:
        if self.draws < 1 or self.scale <= 0 or self.clip <= 0:
            raise ValueError("draws must be 1 or more, scale and clip above 0")
        if self.estimator not in ("orthogonal", "standard"):
            raise ValueError(f"estimator must be orthogonal or standard, got {self.estimator!r}")


@dataclass(frozen=True, eq=False)
class PairInformation:
    """What two words give, together and each for itself; maps (h, w) in nats a cell.

    ``first = redundancy + unique_first``, ``second = redundancy + unique_second``, and ``both`` is the sum of the first
    four. The last two are measured by themselves. By the estimator ``standard`` they are ``unique + synergy`` exactly.
    By ``orthogonal`` they are so only where all predictions are those of one density, which a trained model's are not:
    there ``unique + synergy`` may be negative, while the measured figures never are.

    Attributes:
        redundancy: what either of them gives.
        unique_first: what only the first gives.
        unique_second: what only the second gives.
        synergy: what only both together give; may be negative.
        first_given_second: I(x; first | second), what the first adds if the second is known.
        second_given_first: I(x; second | first), what the second adds if the first is known.
    """

    redundancy: Tensor
    unique_first: Tensor
    unique_second: Tensor
    synergy: Tensor
    first_given_second: Tensor
    second_given_first: Tensor


def noise_levels(settings: InformationSettings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Levels of noise and their weights.

    Levels are logistic, cut off at ``clip`` spreads, one out of each of as many equally likely spans, so that their
    weighted mean stands for the integral over the logarithm of signal to noise (appendix of the paper).

    Returns:
        (K,) logarithms of signal to noise, and (K,) weights, whose mean is the width of the span.
    """
    count, clip = settings.draws, settings.clip
    low, high = (torch.tensor(side * clip).sigmoid() for side in (-1.0, 1.0))
    even = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    shares = low + (high - low) * even
    unit = shares.logit()
    weights = settings.scale * (high - low) / (shares * (1 - shares))
    return settings.location + settings.scale * unit, weights


def timesteps_of(levels: Tensor, schedule: Schedule) -> Tensor:
    """The timesteps (K,) whose logarithm of signal to noise is nearest to each level (K,)."""
    every = torch.arange(schedule.steps)
    one, none = torch.ones(schedule.steps, 1), torch.zeros(schedule.steps, 1)
    signal, noise = schedule.add_noise(one, none, every), schedule.add_noise(none, one, every)
    known = 2 * (signal / noise)[:, 0].double().clamp_min(1e-30).log()
    return (levels.double()[:, None] - known).abs().argmin(1)


@torch.no_grad()
def information(
    backbone: Backbone,
    latent: Tensor,
    texts: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    settings: InformationSettings,
    seed: int = 0,
    placeholders: Placeholders | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """The information that one text gives beyond another.

    With the same noise e for all texts, ``1/2 integral E |e(z|a) - e(z|b)|^2`` over the logarithm of signal to noise
    (orthogonal), or ``1/2 integral E |e - e(z|b)|^2 - |e - e(z|a)|^2`` (standard); both in arXiv 2310.07972.

    Args:
        backbone: the model.
        latent: (1, C, h, w), without noise.
        texts: T texts.
        pairs: P pairs (a, b) of numbers of texts, a saying more than b.
        settings: how.
        seed: of levels and noise.
        placeholders: learnt tokens that the texts name.
        on_step: called after every level with the finished and the total number; what it raises ends the run.

    Returns:
        (P, h, w) nats in each cell; channels are added up. The cost is ``draws`` passes of T rows; a
        model that cannot read texts of different length together takes T passes of one row instead.
    """
    generator = torch.Generator().manual_seed(seed)
    levels, weights = noise_levels(settings, generator)
    timesteps = timesteps_of(levels, backbone.schedule)
    passes = encode_for_passes(backbone, texts, placeholders)
    total = torch.zeros(len(pairs), *latent.shape[-2:])
    for number, (timestep, weight) in enumerate(zip(timesteps, weights, strict=True), 1):
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        time = timestep[None].to(latent.device)
        noisy = backbone.schedule.add_noise(latent, noise, time)  # (1, C, h, w)
        predicted = torch.empty(len(texts), *latent.shape[1:])  # (T, C, h, w)
        for members, conditioning in passes:
            rows = len(members)
            seen = noisy.expand(rows, *latent.shape[1:])
            predicted[members] = backbone.predict_noise(seen, time.expand(rows), conditioning).float().cpu()
        for index, (more, less) in enumerate(pairs):
            gap = _gap(predicted[more], predicted[less], noise[0].float().cpu(), settings.estimator)
            total[index] += float(weight) / 2 * gap / settings.draws
        if on_step is not None:
            on_step(number, settings.draws)
    return total


def word_information(
    backbone: Backbone,
    latent: Tensor,
    prompt: str,
    words: Sequence[str],
    settings: InformationSettings,
    *,
    alone: bool = False,
    seed: int = 0,
    placeholders: Placeholders | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """The information that each of N words gives about a picture: beyond the rest of the prompt, which is read without
    the word, or ``alone``, beyond nothing.

    Returns (N, h, w) nats. Raises ``ValueError`` without words and for a word that is not in the prompt. For other
    arguments see :func:`information`.
    """
    if not words:
        raise ValueError("give at least one word")
    for word in words:
        find_word(backbone.tokenize(prompt, placeholders), word)  # raises, and says which words there are
    if alone:
        texts = ["", *words]
        pairs = [(number, 0) for number in range(1, len(texts))]
    else:
        texts = [prompt, *(without(prompt, [word]) for word in words)]
        pairs = [(0, number) for number in range(1, len(texts))]
    return information(backbone, latent, texts, pairs, settings, seed, placeholders, on_step)


def pair_information(
    backbone: Backbone,
    latent: Tensor,
    prompt: str,
    words: tuple[str, str],
    settings: InformationSettings,
    *,
    seed: int = 0,
    placeholders: Placeholders | None = None,
    on_step: OnStep | None = None,
) -> PairInformation:
    """What two words of a prompt give beyond the rest of it, together and each for itself (arXiv 2406.05191).

    The words' own probabilities are taken to be equal; then the redundancy of a cell is the smaller of what the two
    give there. Raises as :func:`word_information` does.
    """
    first, second = words
    for word in words:
        find_word(backbone.tokenize(prompt, placeholders), word)
    texts = [without(prompt, [first, second]), without(prompt, [second]), without(prompt, [first]), prompt]
    pairs = [(1, 0), (2, 0), (3, 0), (3, 2), (3, 1)]
    return decompose(*information(backbone, latent, texts, pairs, settings, seed, placeholders, on_step))


def decompose(
    first: Tensor, second: Tensor, both: Tensor, first_given_second: Tensor, second_given_first: Tensor
) -> PairInformation:
    """Redundant, unique and synergetic information (h, w) out of what the first word, the second and both give, beside
    what each gives if the other is known."""
    redundancy = torch.minimum(first, second)
    synergy = both - first - second + redundancy
    return PairInformation(
        redundancy, first - redundancy, second - redundancy, synergy, first_given_second, second_given_first
    )


def without(prompt: str, words: Sequence[str]) -> str:
    """A prompt without all occurrences of words; the rest closes up, and brackets that held nothing else go with them.

    Raises ``ValueError`` for a word that is not written so in the prompt.
    """
    prompt = rest = unicodedata.normalize("NFC", prompt)
    for word in words:
        parts = r"\s*".join(re.escape(part) for part in unicodedata.normalize("NFC", word).split())
        written = re.compile(rf"(?<!\w){parts}(?!\w)", re.IGNORECASE)
        if not written.search(prompt):
            how = "does not stand in the prompt as a word by itself; write it as it stands there"
            raise ValueError(f"{shown(word)} {how}")
        rest = written.sub(" ", rest)
    while (closed := _EMPTY_GROUP.sub(" ", rest)) != rest:  # a weight of nothing is no text either
        rest = closed
    return re.sub(r"\s+([,.;:])", r"\1", " ".join(rest.split()))


def _gap(more: Tensor, less: Tensor, noise: Tensor, estimator: Estimator) -> Tensor:
    """(h, w): squared difference of two predictions (C, h, w), or of their errors."""
    if estimator == "orthogonal":
        return (more - less).square().sum(0)
    return (noise - less).square().sum(0) - (noise - more).square().sum(0)
