"""Attention rows evened out among neighbours of like colour.

A cell's own row of attention is noisy; a neighbour of the same colour mostly belongs to the same thing and says the
same. So each row becomes a mean of the rows around it, weighted by how near and how alike in colour the cells are: a
bilateral filter (Tomasi and Manduchi, "Bilateral Filtering for Gray and Color Images", ICCV 1998, equation 5) whose
values are the rows and whose guide is the picture, as in joint bilateral filters. (Our own; ``small`` uses it,
``paper`` does not.)
"""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ...attention.selection import Grid
from ...masks.upsample import Size, centre


def cell_colours(picture: Tensor, grid: Grid, covered: Size | None = None) -> Tensor:
    """(h*w, 3) the mean colour of every cell of a grid over a picture (1, 3, H, W), or over its centred part."""
    return adaptive_avg_pool2d(centre(picture, covered), grid)[0].flatten(1).T


def neighbour_weights(colours: Tensor, grid: Grid, reach: float, contrast: float) -> Tensor:
    """How much of each cell's row every other row gets: ``exp(-|x - y|^2 / 2 reach^2 - |c - d|^2 / 2 contrast^2)``.

    Args:
        colours: (h*w, 3) in 0..1.
        grid: (h, w).
        reach: standard deviation of distances x - y, in cells, above 0.
        contrast: standard deviation of differences c - d of colour, above 0.

    Returns:
        (h*w, h*w), rows sum to one.
    """
    if not (reach > 0 and contrast > 0):
        raise ValueError(f"reach and contrast must be above 0, got {reach:g} and {contrast:g}")
    axes = (torch.arange(side, device=colours.device, dtype=colours.dtype) for side in grid)
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 1)  # (h*w, 2)
    far = squared_distances(places) / (2 * reach**2) + squared_distances(colours) / (2 * contrast**2)
    return (-far).softmax(1)


def even_out(attention: Tensor, colours: Tensor, grid: Grid, reach: float, contrast: float) -> Tensor:
    """Attention (h*w, h*w) whose rows are means over their neighbours; rows that sum to one still do."""
    return neighbour_weights(colours, grid, reach, contrast).to(attention) @ attention


def squared_distances(points: Tensor) -> Tensor:
    """(n, n) squared Euclidean distances of points (n, d)."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()
