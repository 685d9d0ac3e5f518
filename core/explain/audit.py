"""What a model draws too little or too much of, against a folder of reference, and which pictures it copies.

After *Uncovering Conceptual Blindspots in Generative Image Models Using Sparse Autoencoders* (Bohacek et al. 2025,
arXiv 2506.19708), which compares how much each concept occurs, ``E_k``, the mean over pictures of its summed
codes. Ours:

    ratio_k = (E_k of the drawings + e) / (E_k of the reference + e)

with ``e`` a hundredth of the median energy in the reference, and an interval of its logarithm by resampling pictures,
wide enough for all K concepts together (Bonferroni). A concept is missing or excessive where the interval excludes 1
and the ratio passes a factor. With drawings of a base model as reference and those of a fine-tuned one beside them, it
is a report of what the fine-tune changed.
"""

from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from .bank import ConceptCodes

RESAMPLES, ERROR, SMALL = 200, 0.05, 0.01
LEAST_PREVALENCE = 0.005


@dataclass(frozen=True, eq=False)
class Audit:
    """How two sets of pictures differ in K concepts.

    Attributes:
        ratio: (K,) how much of each concept the drawings have, for one of the reference.
        low, high: (K,) the ends of its interval.
        prevalence: (2, K) the share of pictures that show each concept, of the reference and of the drawings.
        copies: pairs of a drawing's and a reference picture's number that are nearer to each other than any two
            pictures of the reference are, by at least half the way to being the same.
    """

    ratio: Tensor
    low: Tensor
    high: Tensor
    prevalence: Tensor
    copies: tuple[tuple[int, int], ...]

    def missing(self, factor: float = 2.0) -> list[int]:
        """Concepts that the drawings have at most one part in ``factor`` of, the rarest first."""
        return self._chosen((self.high < 1) & (self.ratio <= 1 / factor), self.ratio)

    def excessive(self, factor: float = 2.0) -> list[int]:
        """Concepts that the drawings have ``factor`` times or more of, the most frequent first."""
        return self._chosen((self.low > 1) & (self.ratio >= factor), -self.ratio)

    def _chosen(self, which: Tensor, order: Tensor) -> list[int]:
        known = which & (self.prevalence.amax(0) >= LEAST_PREVALENCE)
        return [index for index in order.argsort(stable=True).tolist() if bool(known[index])]


def audit(reference: ConceptCodes, drawn: ConceptCodes, seed: int = 0) -> Audit:
    """Compare drawings with a reference, by codes of one bank.

    Raises ``ValueError`` for fewer than two pictures of either.
    """
    if min(len(reference.values), len(drawn.values)) < 2:
        raise ValueError(
            f"an audit needs at least two pictures of either kind, got {len(reference.values)} of the reference and "
            f"{len(drawn.values)} drawings"
        )
    energies = [codes.values.sum(1) for codes in (reference, drawn)]  # (P, K), (Q, K)
    usual = energies[0].mean(0)
    least = SMALL * usual[usual > 0].median() if bool((usual > 0).any()) else torch.tensor(1.0)
    generator = torch.Generator().manual_seed(seed)
    middle = _log_ratio(energies[0].mean(0), energies[1].mean(0), least)
    again = []
    for _ in range(RESAMPLES):
        known, made = (one[torch.randint(len(one), (len(one),), generator=generator)].mean(0) for one in energies)
        again.append(_log_ratio(known, made, least))
    reach = NormalDist().inv_cdf(1 - ERROR / 2 / len(middle)) * torch.stack(again).std(0)
    prevalence = torch.stack([reference.prevalence(), drawn.prevalence()])
    return Audit(middle.exp(), (middle - reach).exp(), (middle + reach).exp(), prevalence, _copies(reference, drawn))


def _log_ratio(reference: Tensor, drawn: Tensor, least: Tensor) -> Tensor:
    return ((drawn + least) / (reference + least)).log()


def _copies(reference: ConceptCodes, drawn: ConceptCodes) -> tuple[tuple[int, int], ...]:
    """Drawings that use the same concepts at the same places as a picture of the reference."""
    known, made = (torch.nn.functional.normalize(codes.values.flatten(1), dim=1) for codes in (reference, drawn))
    usual = (known @ known.T).fill_diagonal_(-1).max()
    alike = made @ known.T  # (Q, P)
    nearest = alike.max(1)
    found = [
        (number, int(nearest.indices[number]))
        for number in range(len(made))
        if nearest.values[number] > (1 + usual) / 2
    ]
    return tuple(sorted(found, key=lambda pair: -float(alike[pair])))
