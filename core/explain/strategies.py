"""Groups of pictures that share importances: what a model goes by is the same in all pictures of a group.

After the strategy clusters of *A Holistic Approach to Unifying Automatic Concept Extraction and Concept Importance
Estimation* (Fel et al. 2023, arXiv 2306.07304), which puts importances of pictures side by side in a plane. Ours: the
groups are those of k-means on importances of unit length, so that the balance of concepts counts and not their sum,
and their number is the one with the largest mean silhouette. Below a silhouette of 0.25 there is no substantial
structure (Kaufman and Rousseeuw 1990), and all pictures are one group.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..clustering.divergence import euclidean
from ..clustering.kmeans import kmeans
from .scores import PictureScores

MOST_GROUPS = 8
"""That are tried where nobody says how many there are."""
STRUCTURE = 0.25


@dataclass(frozen=True)
class Lead:
    """A concept that sets a group apart.

    Attributes:
        concept: its number.
        here, elsewhere: its mean importance in the group and in all other pictures.
        first: the share of the group's pictures in which no concept matters more.
    """

    concept: int
    here: float
    elsewhere: float
    first: float


@dataclass(frozen=True, eq=False)
class Strategies:
    """P pictures in G groups.

    Attributes:
        scores: what they were grouped by.
        labels: (P,) the group of each picture, 0..G-1, the largest group first.
        fits: (P,) in -1..1, the silhouette: 1 for a picture that is like its own group alone, below 0 for one that is
            more like another; 0 where there is one group.
    """

    scores: PictureScores
    labels: Tensor
    fits: Tensor

    def __len__(self) -> int:
        return int(self.labels.max()) + 1

    def members(self, group: int) -> list[int]:
        """The pictures of a group, those first that fit best. Raises ``ValueError`` for a group that there is not."""
        if not 0 <= group < len(self):
            raise ValueError(f"there are groups 1 to {len(self)}, got {group + 1}")
        return [n for n in self.fits.argsort(descending=True, stable=True).tolist() if int(self.labels[n]) == group]

    def leads(self, group: int, most: int = 3) -> list[Lead]:
        """The concepts that matter in a group, those first that matter more there than elsewhere."""
        values, inside = self.scores.values, self.labels == group
        here = values[inside].mean(0)  # (K,)
        elsewhere = values[~inside].mean(0) if bool((~inside).any()) else torch.zeros_like(here)
        first = values[inside].argmax(1)
        order = (here - elsewhere).argsort(descending=True, stable=True).tolist()
        return [
            Lead(index, float(here[index]), float(elsewhere[index]), float((first == index).float().mean()))
            for index in order
            if here[index] > max(0.0, float(elsewhere[index]))
        ][:most]


def group_by_strategy(scores: PictureScores, groups: int = 0, seed: int = 0) -> Strategies:
    """Group pictures by what matters in them.

    Args:
        scores: importances, or strengths, of concepts.
        groups: how many groups; 0 decides by the silhouette.

    Raises ``ValueError`` for a number of groups that there cannot be, and for scores of which all are 0.
    """
    rows = normalize(scores.values.float(), dim=1)  # (P, K)
    if not 0 <= groups <= len(rows):
        raise ValueError(f"{len(rows)} pictures can be in 1 to {len(rows)} groups, got {groups}; 0 decides by itself")
    if not bool(rows.any()):
        raise ValueError("no concept matters in any of these pictures, so nothing sets them apart; check the scores")
    apart = euclidean(rows)
    tried = [groups] if groups else range(2, min(MOST_GROUPS, len(rows) - 1) + 1)
    best, fits, most = torch.zeros(len(rows), dtype=torch.long), torch.zeros(len(rows)), -2.0 if groups else STRUCTURE
    for count in tried:
        labels = kmeans(rows, count, seed)
        own = silhouettes(apart, labels)
        if float(own.mean()) > most:
            best, fits, most = labels, own, float(own.mean())
    return Strategies(scores, _by_size(best), fits)


def silhouettes(apart: Tensor, labels: Tensor) -> Tensor:
    """(n,) of distances (n, n) and labels (n,): how much nearer each row is to its own group than to the next one.

    0 for a row that is alone in its group, and for all where there is one group.
    """
    member = torch.nn.functional.one_hot(labels).to(apart)  # (n, G)
    sizes = member.sum(0)
    if len(sizes) < 2:
        return torch.zeros(len(labels))
    sums = apart @ member  # (n, G)
    own = sums.gather(1, labels[:, None])[:, 0] / (sizes[labels] - 1).clamp(min=1)
    other = (sums / sizes).masked_fill(member.bool(), torch.inf).amin(1)
    found = (other - own) / torch.maximum(own, other).clamp(min=1e-12)
    return torch.where(sizes[labels] > 1, found, 0.0)


def _by_size(labels: Tensor) -> Tensor:
    """The same groups, numbered from the largest on; of groups of one size the one with the first picture."""
    sizes = torch.bincount(labels).tolist()
    firsts = [int((labels == group).nonzero()[0]) for group in range(len(sizes))]
    order = sorted(range(len(sizes)), key=lambda group: (-sizes[group], firsts[group]))
    places = torch.tensor([order.index(group) for group in range(len(sizes))])
    return places[labels]
