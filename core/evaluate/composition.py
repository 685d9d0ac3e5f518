"""Whether each concept stands in its own region: similarities of the parts of pictures to what concepts look like.

A region that is more like another concept than like its own has leaked. LoRA-Composer (arXiv 2403.11627) scores whole
pictures; a score for each region says which concept went where.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .similarity import similarity


@dataclass(frozen=True, eq=False)
class CompositionScores:
    """Scores of P pictures with K regions, one for each of K concepts.

    Attributes:
        names: of the concepts, which are those of the regions.
        alike: (K, P, K) cosines of a region in a picture to each concept.
        counts: (K, P) long, how often each concept stands in each picture.
    """

    names: tuple[str, ...]
    alike: Tensor
    counts: Tensor

    @property
    def identity(self) -> Tensor:
        """(K,) mean similarity of each region to its own concept."""
        return self.alike.diagonal(dim1=0, dim2=2).mean(0)  # (P, K) to (K,)

    @property
    def leaks(self) -> Tensor:
        """(K, K): the share of pictures in which region j is most like concept i; rows add up to one."""
        nearest = self.alike.argmax(2)  # (K, P)
        return torch.nn.functional.one_hot(nearest, len(self.names)).float().mean(1)

    @property
    def own(self) -> Tensor:
        """(K,) the share of pictures in which a region is most like its own concept."""
        return self.leaks.diagonal()

    @property
    def exact(self) -> float:
        """The share of pictures in which every region is most like its own concept."""
        own = self.alike.argmax(2) == torch.arange(len(self.names))[:, None]  # (K, P)
        return float(own.all(0).float().mean())

    @property
    def once(self) -> Tensor:
        """(K,) the share of pictures in which a concept stands exactly once."""
        return (self.counts == 1).float().mean(1)

    @property
    def all_once(self) -> float:
        """The share of pictures in which every concept stands exactly once."""
        return float((self.counts == 1).all(0).float().mean())


def score_composition(names: Sequence[str], regions: Tensor, sources: Tensor, counts: Tensor) -> CompositionScores:
    """Compare regions of pictures with concepts.

    Args:
        names: K names, at least two: with one concept nothing can leak.
        regions: (K, P, D) features of each region in each of P pictures.
        sources: (K, D) features of the concepts, by the same encoder.
        counts: (K, P) how often each concept stands in each picture.

    Raises ``ValueError`` for other numbers of names than of regions and concepts, and as :func:`.similarity` does.
    """
    if len(names) < 2:
        raise ValueError(f"a composition has two concepts or more, got {len(names)}")
    if not len(names) == len(regions) == len(sources):
        raise ValueError(
            f"there are {len(names)} names, {len(regions)} regions and {len(sources)} concepts; give as many of each"
        )
    if counts.shape != regions.shape[:2]:
        raise ValueError(f"there are counts {tuple(counts.shape)} for regions {tuple(regions.shape)}; give (K, P)")
    return CompositionScores(tuple(names), similarity(regions, sources), counts)
