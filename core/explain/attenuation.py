"""How likely codes mean a concept: what attenuation goes by (APP, *Evaluating SAEs for monosemantic representation*,
arXiv 2508.15094).

A code ``a`` becomes ``a (1 - P(concept | a))``, with the posterior from histograms of codes in pictures with and
without the concept. Codes of one layer are larger or smaller as a picture has more or less noise, so that each of a few
noise levels has histograms of its own.
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..backbone import Backbone
from ..schedule import noise_of_level
from ..steps import OnStep
from .activations import Activations, mismatch
from .bank import ConceptBank
from .recording import find_site, origin_of, record_denoiser
from .registry import encode

BINS = 64
NOISES = (0.125, 0.375, 0.625, 0.875)
"""Shares of noise that have histograms of their own, unless others are asked for: the middles of four equal parts."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """P(concept | code) for each of K concepts.

    Attributes:
        shares: (K, BINS + 1); the first bin is of codes of 0, the others of equal width up to ``most``.
        most: (K,) the code at the end of the last bin.
    """

    shares: Tensor
    most: Tensor

    def of(self, codes: Tensor) -> Tensor:
        """(..., K) of codes (..., K)."""
        bins = _bins(codes, self.most.to(codes))  # (..., K)
        index = torch.arange(codes.shape[-1], device=codes.device).expand(bins.shape)
        return self.shares.to(codes)[index, bins]


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Posteriors of several noise levels.

    Attributes:
        noises: shares of noise, 0..1, at least one.
        each: the posterior of each.
    """

    noises: tuple[float, ...]
    each: tuple[Posterior, ...]

    def at(self, backbone: Backbone, level: Tensor) -> Posterior:
        """Of the share of noise that is nearest to a sampler's noise level ()."""
        share = noise_of_level(backbone.schedule, level)
        return min(zip(self.noises, self.each, strict=True), key=lambda one: abs(one[0] - share))[1]


def posterior_of(with_it: Tensor, without: Tensor) -> Posterior:
    """Of codes (n, K) at positions of pictures with a concept and codes (m, K) of pictures without; both kinds of
    pictures count as equally likely, and one position is added to every bin of either."""
    most = torch.maximum(with_it.amax(0), without.amax(0)).clamp(min=1e-8)
    counts = []
    for codes in (with_it, without):
        counted = torch.ones(codes.shape[1], BINS + 1)
        counted.scatter_add_(1, _bins(codes, most).T, torch.ones(codes.shape[1], len(codes)))
        counts.append(counted / counted.sum(1, keepdim=True))
    return Posterior(counts[0] / (counts[0] + counts[1]), most)


def posteriors_of(
    backbone: Backbone,
    bank: ConceptBank,
    with_it: Tensor,
    without: Tensor,
    noises: tuple[float, ...] = NOISES,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Posteriors:
    """Posteriors by noise, of pictures that the model reads at the bank's layer under the empty text.

    Args:
        with_it: (P, 3, H, W) in 0..1, pictures that show the concept.
        without: (Q, 3, H, W) pictures without it.
        seed: of the noise.
        on_step: called with how many pictures were read, of how many.

    Raises ``ValueError`` as :func:`check_model` and :func:`~.recording.record_denoiser` do.
    """
    check_model(backbone, bank)
    each, done, every = [], 0, len(noises) * (len(with_it) + len(without))
    for noise in noises:
        read = []
        for pictures in (with_it, without):
            report = partial(_report, on_step, done, every)
            found = record_denoiser(backbone, pictures, bank.origin.site, noise, seed, bank.origin.text, report)
            # The bank is asked about noise that it was not found at, on purpose.
            read.append(replace(found, origin=replace(found.origin, noise=bank.origin.noise)))
            done += len(pictures)
        each.append(_posterior(bank, *read))
    return Posteriors(noises, tuple(each))


def posteriors_recorded(bank: ConceptBank, with_it: Activations, without: Activations) -> Posteriors:
    """The one posterior of activations that were recorded as the bank's were; it serves every noise."""
    return Posteriors((bank.origin.noise or 0.0,), (_posterior(bank, with_it, without),))


def check_model(backbone: Backbone, bank: ConceptBank) -> None:
    """Raises ``ValueError`` for a bank that was not found in this model."""
    origin = bank.origin
    if origin.kind != "denoiser":
        raise ValueError(
            f"these ingredients were found in {origin.title}, which draws nothing; find them in the activations of "
            "the diffusion model that is sampled"
        )
    other = mismatch(origin, origin_of(backbone, find_site(backbone, origin.site), origin.width, origin.noise or 0))
    if other:
        raise ValueError(f"these ingredients were found in {origin.title}, and the model to sample has {other}")


def _posterior(bank: ConceptBank, with_it: Activations, without: Activations) -> Posterior:
    return posterior_of(*(encode(bank, one).values.flatten(0, 1) for one in (with_it, without)))


def _report(on_step: OnStep | None, before: int, every: int, done: int, of: int) -> None:
    if on_step is not None:
        on_step(before + done, every)


def _bins(codes: Tensor, most: Tensor) -> Tensor:
    bins = (codes / most * BINS).ceil().long().clamp(0, BINS)
    return torch.where(codes > 0, bins.clamp(min=1), 0)
