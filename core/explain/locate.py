"""Where ingredients are in pictures: their masks, and the places that show them best."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..masks.guided import guided_filter
from ..masks.upsample import to_pixels
from .bank import ACTIVE, ConceptCodes


@dataclass(frozen=True)
class Place:
    """A picture, and the square in it around the position that uses an ingredient most.

    Attributes:
        picture: its number.
        score: the code there as a share of the ingredient's peak.
        top, left, side: the square, in pixels.
    """

    picture: int
    score: float
    top: int
    left: int
    side: int

    def cut(self, pictures: Tensor) -> Tensor:
        """(3, side, side) of pictures (P, 3, H, W)."""
        bottom, right = self.top + self.side, self.left + self.side
        return pictures[self.picture, :, self.top : bottom, self.left : right]


REACH, EPS = 1.5, 1e-3
"""Of the filter by which masks follow the edges of pictures: cells, and the variance of colour that counts as even.
Chosen on two development folders of the lab."""


def concept_masks(
    codes: ConceptCodes,
    concepts: Sequence[int],
    size: tuple[int, int],
    threshold: float | None = None,
    guide: Tensor | None = None,
) -> Tensor:
    """(N, P, H, W) in 0..1: N concepts in P pictures of a size (H, W); soft, or 0 and 1 above a threshold.

    Args:
        guide: the pictures (P, 3, H, W) in 0..1, whose edges the masks follow (guided filter); None for smooth ones.
    """
    maps = codes.maps(concepts).transpose(0, 1)  # (N, P, h, w)
    sized = to_pixels(maps.flatten(0, 1), size, "bilinear", codes.covered).unflatten(0, maps.shape[:2])
    if guide is not None:
        sized = torch.stack([_guided(codes, guide[i], sized[:, i]) for i in range(len(guide))], 1)
    return sized if threshold is None else (sized > threshold).float()


def _guided(codes: ConceptCodes, picture: Tensor, soft: Tensor) -> Tensor:
    """(N, H, W) of soft masks (N, H, W), along the edges of a picture (3, H, W). Each stays as strong as it was at its
    strongest place: the filter averages over its window, which would put small things below any threshold."""
    cell = max(side / cells for side, cells in zip(codes.covered or soft.shape[1:], codes.grid, strict=True))
    found = guided_filter(picture.to(soft), soft, max(1, round(REACH * cell)), EPS).clamp(min=0)
    peaks = [one.flatten(1).amax(1) for one in (soft, found)]  # (N,) each
    return (found * (peaks[0] / peaks[1].clamp(min=1e-6))[:, None, None]).clamp(0, 1)


def best_places(codes: ConceptCodes, concept: int, size: tuple[int, int], most: int, share: float = 0.6) -> list[Place]:
    """The pictures that show a concept most, at most one place in each, the best first; none that do not show it.

    Args:
        size: (H, W) of the pictures.
        share: the square's side as a share of the pictures' shorter side.
    """
    values, at = (codes.values[..., concept] / codes.bank.peaks[concept]).max(1)  # (P,), (P,)
    order = values.argsort(descending=True, stable=True)[:most].tolist()
    side = max(1, round(share * min(size)))
    return [
        _place(codes, index, float(values[index]), int(at[index]), size, side) for index in order if values[index] > 0
    ]


def _place(codes: ConceptCodes, picture: int, score: float, at: int, size: tuple[int, int], side: int) -> Place:
    rows, columns = codes.grid
    covered = codes.covered or size
    row, column = divmod(at, columns)
    down = (size[0] - covered[0]) / 2 + (row + 0.5) * covered[0] / rows
    across = (size[1] - covered[1]) / 2 + (column + 0.5) * covered[1] / columns
    top = min(max(0, round(down - side / 2)), size[0] - side)
    left = min(max(0, round(across - side / 2)), size[1] - side)
    return Place(picture, score, top, left, side)


def strongest(codes: ConceptCodes, most: int) -> list[int]:
    """The concepts that stand out in these pictures, at most so many: those that some position uses fully enough, in
    the order of how much more they are used than in the pictures they were found in."""
    shares = codes.values / codes.bank.peaks  # (P, T, K)
    lead = shares.mean((0, 1)) - codes.bank.usual
    present = shares.amax((0, 1)) > ACTIVE
    order = lead.argsort(descending=True, stable=True).tolist()
    return [index for index in order if bool(present[index])][:most]


def disjoint(masks: Tensor, threshold: float) -> Tensor:
    """(N, P, H, W) of soft masks alike: each pixel to the concept with the largest value there, if above the
    threshold."""
    winner = masks.argmax(0)  # (P, H, W)
    own = winner[None] == torch.arange(len(masks))[:, None, None, None]
    return (own & (masks > threshold)).float()


def mean_features(features: Sequence[Tensor]) -> Tensor:
    """(K, E) the mean of each concept's features (n, E); zeros for one without any."""
    width = next((one.shape[1] for one in features if len(one)), 0)
    return torch.stack([one.mean(0) if len(one) else torch.zeros(width) for one in features])
