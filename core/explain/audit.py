"""What a model draws too little or too much of, against a folder of reference, and which pictures it copies.

After *Uncovering Conceptual Blindspots in Generative Image Models Using Sparse Autoencoders* (Bohacek et al. 2025,
arXiv 2506.19708), which compares how much each concept occurs, ``E_k``, the mean over pictures of its summed
codes. Ours:

    ratio_k = (E_k of the drawings + e) / (E_k of the reference + e)

with ``e`` a hundredth of the median energy in the reference, and an interval of its logarithm by resampling pictures,
wide enough for all K concepts together (Bonferroni). A concept is missing or excessive where the interval excludes 1
and the ratio passes a factor. With drawings of a base model as reference and those of a fine-tuned one beside them, it
is a report of what the fine-tune changed. Where both were drawn from the same prompts and seeds, pairs are resampled
instead of pictures, so that what differs between prompts and seeds widens no interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from ..clustering.components import connected_components
from .bank import ConceptCodes

RESAMPLES, ERROR, SMALL = 200, 0.05, 0.01
LEAST_PREVALENCE = 0.005
USUAL = 0.9
"""Share of the pictures of the reference that are no nearer to another one than what counts as usual."""


@dataclass(frozen=True, eq=False)
class Audit:
    """How two sets of pictures differ in K concepts.

    Attributes:
        ratio: (K,) how much of each concept the drawings have, for one of the reference.
        low, high: (K,) the ends of its interval.
        prevalence: (2, K) the share of pictures that show each concept, of the reference and of the drawings.
        copies: pairs of a drawing's and a reference picture's number that are nearer to each other than pictures of the
            reference are to the nearest one, in 9 of 10 of them, by at least half the way to being the same; none of
            pairs.
        moved: (P,) in 0..1, how far the codes of each pair differ (1 - cosine); None where pictures are no pairs.
    """

    ratio: Tensor
    low: Tensor
    high: Tensor
    prevalence: Tensor
    copies: tuple[tuple[int, int], ...]
    moved: Tensor | None = None

    def missing(self, factor: float = 2.0) -> list[int]:
        """Concepts that the drawings have at most one part in ``factor`` of, the rarest first."""
        return self._chosen((self.high < 1) & (self.ratio <= 1 / factor), self.ratio)

    def excessive(self, factor: float = 2.0) -> list[int]:
        """Concepts that the drawings have ``factor`` times or more of, the most frequent first."""
        return self._chosen((self.low > 1) & (self.ratio >= factor), -self.ratio)

    def _chosen(self, which: Tensor, order: Tensor) -> list[int]:
        known = which & (self.prevalence.amax(0) >= LEAST_PREVALENCE)
        return [index for index in order.argsort(stable=True).tolist() if bool(known[index])]


def audit(reference: ConceptCodes, drawn: ConceptCodes, seed: int = 0, paired: bool = False) -> Audit:
    """Compare drawings with a reference, by codes of one bank.

    Args:
        seed: of the resampling.
        paired: whether a drawing and the picture of the reference with its number have one prompt and seed.

    Raises ``ValueError`` for fewer than two pictures of either, and for pairs of unlike numbers of pictures.
    """
    counts = len(reference.values), len(drawn.values)
    if min(counts) < 2:
        raise ValueError(
            f"an audit needs at least two pictures of either kind, got {counts[0]} of the reference and "
            f"{counts[1]} drawings"
        )
    if paired and counts[0] != counts[1]:
        raise ValueError(
            f"pairs need as many drawings as pictures of the reference, got {counts[1]} and {counts[0]}; draw the same "
            "prompts and seeds, or turn paired off"
        )
    if reference.grid != drawn.grid:
        raise ValueError(
            f"the pictures of the reference have {reference.grid[0]}x{reference.grid[1]} positions and the drawings "
            f"{drawn.grid[0]}x{drawn.grid[1]}; give both in one size"
        )
    energies = [codes.values.sum(1) for codes in (reference, drawn)]  # (P, K), (Q, K)
    usual = energies[0].mean(0)
    least = SMALL * usual[usual > 0].median() if bool((usual > 0).any()) else torch.tensor(1.0)
    middle = _log_ratio(energies[0].mean(0), energies[1].mean(0), least)
    generator, again = torch.Generator().manual_seed(seed), []
    for _ in range(RESAMPLES):
        known = torch.randint(counts[0], (counts[0],), generator=generator)
        made = known if paired else torch.randint(counts[1], (counts[1],), generator=generator)
        again.append(_log_ratio(energies[0][known].mean(0), energies[1][made].mean(0), least))
    reach = NormalDist().inv_cdf(1 - ERROR / 2 / len(middle)) * torch.stack(again).std(0)
    prevalence = torch.stack([reference.prevalence(), drawn.prevalence()])
    interval = (middle - reach).exp(), (middle + reach).exp()
    copies, moved = ((), _moved(reference, drawn)) if paired else (_copies(reference, drawn), None)
    return Audit(middle.exp(), *interval, prevalence, copies, moved)


ALIKE = 0.5


def together(codes: ConceptCodes, chosen: Sequence[int]) -> list[list[int]]:
    """Chosen concepts in groups that are strong in the same pictures (correlation of at least :data:`ALIKE` with one of
    the group), since several of a dictionary's concepts may be parts of one thing; in the order given."""
    if len(chosen) < 2:
        return [[index] for index in chosen]
    scores = codes.scores()[:, list(chosen)].double()
    apart = scores - scores.mean(0)
    apart = apart / apart.norm(dim=0).clamp(min=1e-12)
    labels = connected_components(apart.T @ apart >= ALIKE).tolist()
    groups: dict[int, list[int]] = {}
    for index, label in zip(chosen, labels, strict=True):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def _log_ratio(reference: Tensor, drawn: Tensor, least: Tensor) -> Tensor:
    return ((drawn + least) / (reference + least)).log()


def _flat(codes: ConceptCodes) -> Tensor:
    """(P, h * w * K) of unit length: which concepts a picture uses, and where."""
    return torch.nn.functional.normalize(codes.values.flatten(1), dim=1)


def _moved(reference: ConceptCodes, drawn: ConceptCodes) -> Tensor:
    """(P,) how far each pair is apart: 0 for the same codes, 1 for pictures that have no concept in common."""
    return (1 - (_flat(reference) * _flat(drawn)).sum(1)).clamp(0, 1)


def _copies(reference: ConceptCodes, drawn: ConceptCodes) -> tuple[tuple[int, int], ...]:
    """Drawings that use the same concepts at the same places as a picture of the reference."""
    known, made = _flat(reference), _flat(drawn)
    # A few pictures that stand in the reference twice must hide no copy: those are what models memorise first.
    usual = (known @ known.T).fill_diagonal_(-1).amax(1).quantile(USUAL)
    alike = made @ known.T  # (Q, P)
    nearest = alike.max(1)
    found = [
        (number, int(nearest.indices[number]))
        for number in range(len(made))
        if nearest.values[number] > (1 + usual) / 2
    ]
    return tuple(sorted(found, key=lambda pair: -float(alike[pair])))
