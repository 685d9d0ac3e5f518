"""How far the styles of pictures lie apart: their colours, and their edges at several sizes, wherever these are.

A style is a Gram matrix of feature maps, as in Gatys et al. 2016 ("Image Style Transfer Using Convolutional Neural
Networks", equation 3). Here the maps are colours and differences of neighbouring pixels in place of the layers of a
network, so that no further weights are needed.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

SCALES = (1, 2, 4)
"""Pixels that are averaged in each direction before colours and edges are taken."""
LEAST_SIDE = 2 * max(SCALES)


Styles = tuple[Tensor, ...]
"""Of B pictures: (B, D, D) Gram matrices of colours and of edges at each scale."""


def styles_of(pictures: Tensor) -> Styles:
    """The styles of pictures (B, 3, H, W) in 0..1.

    Raises:
        ValueError: for another shape, and sides of less than :data:`LEAST_SIDE` pixels.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or min(pictures.shape[2:]) < LEAST_SIDE:
        raise ValueError(
            f"pictures must be (B, 3, H, W) with sides of at least {LEAST_SIDE} pixels, got {tuple(pictures.shape)}"
        )
    found = []
    for scale in SCALES:
        colours = avg_pool2d(pictures.float(), scale)
        across, down = colours.diff(dim=3)[:, :, :-1], colours.diff(dim=2)[..., :-1]
        # With a map of ones, the mean colours count as well.
        found.append(_gram(torch.cat([colours, torch.ones_like(colours[:, :1])], dim=1)))
        found.append(_gram(torch.cat([across, down], dim=1)))
    return tuple(found)


def style_distance(styles: Styles, others: Styles) -> Tensor:
    """How far the styles of pairs of pictures lie apart, from :func:`styles_of` both.

    Each Gram matrix is compared by the norm of the difference, divided by the sum of both norms; the result is the mean
    over scales, colours and edges.

    Returns:
        (B,) in 0..1, 0 for the same picture. Moving a thing on a plain ground changes it little.

    Raises:
        ValueError: for different numbers of pictures.
    """
    if len(styles[0]) != len(others[0]):
        raise ValueError(f"styles are compared in pairs, got {len(styles[0])} and {len(others[0])}")
    return torch.stack(list(map(_apart, styles, others))).mean(0)


def style_spread(styles: Styles) -> Tensor:
    """Mean distance of each two of B pictures' styles, B at least 2; a number."""
    count = len(styles[0])
    first, second = torch.triu_indices(count, count, 1)
    return style_distance(_chosen(styles, first), _chosen(styles, second)).mean()


def _chosen(styles: Styles, rows: Tensor) -> Styles:
    return tuple(one[rows] for one in styles)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """(B,) in 0..1; two matrices of zeros (plain pictures have no edges) are the same."""
    size = one.norm(dim=(1, 2)) + other.norm(dim=(1, 2))
    return (one - other).norm(dim=(1, 2)) / size.clamp_min(1e-12)


def _gram(maps: Tensor) -> Tensor:
    """(B, D, D) mean products of maps (B, D, h, w) over their cells."""
    cells = maps.flatten(2)
    return cells @ cells.transpose(1, 2) / cells.shape[2]
