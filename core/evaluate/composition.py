"""Whether each concept is in its own region, once, and with its own attributes, and how much of it lies elsewhere.

A region that is more like another concept than like its own shows the wrong thing. LoRA-Composer (arXiv 2403.11627)
scores whole pictures; a score for each region says which concept went where. How much of a concept lies in each region
is a share of the cells where the concept is seen, see :mod:`.leaks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .similarity import similarity


@dataclass(frozen=True)
class Attributes:
    """An attribute of each of K concepts, and the one that P pictures show.

    Attributes:
        own: K attributes that the concepts should have; None for a concept without one.
        seen: K rows of P: what is seen in each picture; None where the concept is not found or has no attribute.
        in_sources: K attributes that are seen in the source of each concept in the same way. One that differs from
            ``own`` says that this way of looking does not recognise the attribute.
        judged_by: what looks, for people.
    """

    own: tuple[str | None, ...]
    seen: tuple[tuple[str | None, ...], ...]
    in_sources: tuple[str | None, ...]
    judged_by: str

    def wrong(self) -> Tensor:
        """(K, P) bool: a concept is seen with another attribute than its own."""
        return torch.tensor(
            [[one is not None and one != own for one in row] for own, row in zip(self.own, self.seen, strict=True)]
        )

    def right(self) -> Tensor:
        """(K,) the share of the pictures that show the concept in which it has its own attribute; NaN without any."""
        shares = []
        for own, row in zip(self.own, self.seen, strict=True):
            known = [one == own for one in row if one is not None]
            shares.append(sum(known) / len(known) if known else torch.nan)
        return torch.tensor(shares)


@dataclass(frozen=True, eq=False)
class Sighting:
    """What is seen of K concepts in P whole pictures.

    Attributes:
        counts: (K, P) long, how often each concept is in each picture.
        maps: (K, P, h, w), zero or more: how much of each concept lies in each cell; zero where it is not found.
        attributes: of the concepts; None where nothing judges them.
    """

    counts: Tensor
    maps: Tensor
    attributes: Attributes | None = None


@dataclass(frozen=True, eq=False)
class CompositionScores:
    """Scores of P pictures with K regions, one for each of K concepts.

    Attributes:
        names: of the concepts, which are those of the regions.
        alike: (K, P, K) cosines of a region in a picture to each concept.
        counts: (K, P) long, how often each concept is in each picture.
        shares: (K, P, K) how much of concept i lies in region j, in 0..1; NaN where the concept is not found.
        outside: (K, P) how much of it lies outside all regions; NaN likewise.
        styles: (K,) bool, concepts that have no place, such as a style: no region is compared with them, nothing lies
            in theirs, and they are not counted.
        attributes: of the concepts; None where nothing judges them.
    """

    names: tuple[str, ...]
    alike: Tensor
    counts: Tensor
    shares: Tensor
    outside: Tensor
    styles: Tensor
    attributes: Attributes | None = None

    @property
    def identity(self) -> Tensor:
        """(K,) mean similarity of each region to its own concept."""
        return self.alike.diagonal(dim1=0, dim2=2).mean(0)  # (P, K) to (K,)

    @property
    def nearest(self) -> Tensor:
        """(K, P) the number of the concept, other than a style, that a region is most like; its own for a style."""
        of_things = self.alike.masked_fill(self.styles, -torch.inf).argmax(2)
        return torch.where(self.styles[:, None], torch.arange(len(self.names))[:, None], of_things)

    @property
    def nearest_shares(self) -> Tensor:
        """(K, K): the share of pictures in which region i is most like concept j; rows add up to one."""
        return torch.nn.functional.one_hot(self.nearest, len(self.names)).float().mean(1)

    @property
    def own(self) -> Tensor:
        """(K,) the share of pictures in which a region is most like its own concept."""
        return self.nearest_shares.diagonal()

    @property
    def exact(self) -> float:
        """The share of pictures in which every region is most like its own concept."""
        own = self.nearest == torch.arange(len(self.names))[:, None]  # (K, P)
        return float(own.all(0).float().mean())

    @property
    def leaks(self) -> Tensor:
        """(K, K): how much of concept i lies in region j, over the pictures in which it is found; NaN for a concept
        that is never found, and in the rows and columns of styles."""
        return self.shares.nanmean(1)

    @property
    def lies_outside(self) -> Tensor:
        """(K,) how much of each concept lies outside all regions, over the pictures in which it is found."""
        return self.outside.nanmean(1)

    @property
    def placed(self) -> Tensor:
        """(K, P) bool: more than half of a concept lies in its own region; true for a style, which has no place."""
        return (self.shares.diagonal(dim1=0, dim2=2).T > 0.5) | self.styles[:, None]  # NaN is not more

    @property
    def all_placed(self) -> float:
        """The share of pictures in which more than half of every concept lies in its own region."""
        return float(self.placed.all(0).float().mean())

    @property
    def all_right(self) -> float:
        """The share of pictures in which every concept is there once, mostly in its own region, with its attribute."""
        right = ((self.counts == 1) | self.styles[:, None]) & self.placed
        right = right if self.attributes is None else right & ~self.attributes.wrong()
        return float(right.all(0).float().mean())

    @property
    def once(self) -> Tensor:
        """(K,) the share of pictures in which a concept is there exactly once; NaN for a style."""
        return (self.counts == 1).float().mean(1).masked_fill(self.styles, torch.nan)

    @property
    def all_once(self) -> float:
        """The share of pictures in which every concept that has a place is there exactly once."""
        return float((self.counts[~self.styles] == 1).all(0).float().mean())


def score_composition(
    names: Sequence[str],
    regions: Tensor,
    sources: Tensor,
    sighting: Sighting,
    shares: tuple[Tensor, Tensor],
    styles: Tensor | None = None,
) -> CompositionScores:
    """Compare regions of pictures with concepts.

    Args:
        names: K names, at least two: with one concept nothing can leak.
        regions: (K, P, D) features of each region in each of P pictures.
        sources: (K, D) features of the concepts, by the same encoder.
        sighting: of the K concepts in the P pictures.
        shares: (K, P, K) and (K, P) of :func:`~.leaks.shares_in_regions`.
        styles: (K,) bool, see :class:`CompositionScores`; none without it.

    Raises ``ValueError`` for other numbers of names than of regions and concepts, and as :func:`.similarity` does.
    """
    if len(names) < 2:
        raise ValueError(f"a composition has two concepts or more, got {len(names)}")
    if not len(names) == len(regions) == len(sources):
        raise ValueError(
            f"there are {len(names)} names, {len(regions)} regions and {len(sources)} concepts; give as many of each"
        )
    count, pictures = len(names), regions.shape[1]
    within, outside = shares
    if not sighting.counts.shape == outside.shape == within.shape[:2] == (count, pictures):
        raise ValueError(
            f"there are counts {tuple(sighting.counts.shape)} and shares {tuple(within.shape)} for regions "
            f"{tuple(regions.shape)}; give (K, P) and (K, P, K)"
        )
    none = torch.zeros(count, dtype=torch.bool) if styles is None else styles
    within = within.masked_fill(none[:, None, None] | none, torch.nan)
    outside = outside.masked_fill(none[:, None], torch.nan)
    alike = similarity(regions, sources)
    return CompositionScores(tuple(names), alike, sighting.counts, within, outside, none, sighting.attributes)
