"""What localisation is measured against: clusterings that get the true count, chance, and the grid's ceiling."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from ...core.clustering.kmeans import kmeans
from ...core.localize.parts.saliency import border_cells
from ...core.masks.from_masks import masks_to_grid
from ...core.masks.guided import guided_masks
from ...core.masks.upsample import smooth_masks

Size = tuple[int, int]


def kmeans_of_rows(attention: Tensor, grid: Size, count: int, seed: int) -> Tensor:
    """k-means over the attention rows with ``count`` + 1 clusters; (count, h, w) bool without the background's."""
    clusters = min(count + 1, len(attention))
    return without_background(kmeans(attention, clusters, seed).view(grid))


def kmeans_of_colours(picture: Tensor, count: int, seed: int) -> Tensor:
    """k-means over the pixels' colours with ``count`` + 1 clusters; (count, H, W) bool without the background's."""
    colours = picture[0].flatten(1).T
    return without_background(kmeans(colours, count + 1, seed, restarts=2, iterations=20).view(picture.shape[-2:]))


def without_background(labels: Tensor) -> Tensor:
    """The clusters (K, h, w) of a label map, except the one that holds most of the border."""
    everywhere = torch.stack([labels == label for label in labels.unique()])
    background = everywhere[:, border_cells((labels.shape[0], labels.shape[1]))].sum(1).argmax()
    return everywhere[torch.arange(len(everywhere)) != background]


def random_boxes(masks: Tensor, seed: int) -> Tensor:
    """For every true mask (M, H, W) a square of the same area at a random place: what chance finds."""
    generator = torch.Generator().manual_seed(seed)
    boxes, (height, width) = torch.zeros_like(masks), masks.shape[1:]
    for box, area in zip(boxes, masks.sum((1, 2)).tolist(), strict=True):
        side = max(1, round(area**0.5))
        high, wide = min(side, height), min(side, width)
        top = int(torch.randint(height - high + 1, (1,), generator=generator))
        left = int(torch.randint(width - wide + 1, (1,), generator=generator))
        box[top : top + high, left : left + wide] = True
    return boxes


def ceiling(masks: Tensor, grid: Size, picture: Tensor | None = None) -> Tensor:
    """The true masks (M, H, W) through the grid and back, with smooth outlines or along the edges of the picture
    (1, 3, H, W): what masks that are right on this grid score."""
    cells = masks_to_grid(masks, grid)
    return smooth_masks(cells, (masks.shape[1], masks.shape[2])) if picture is None else guided_masks(cells, picture)


def majority(masks: Tensor, grid: Size) -> Tensor:
    """Pixel masks (N, H, W) on a grid: cells that they cover at least half; masks that cover none are left out."""
    if len(masks) == 0:
        return torch.zeros(0, *grid, dtype=torch.bool)
    cells = adaptive_avg_pool2d(masks.float()[None], grid)[0] >= 0.5
    return cells[cells.any(2).any(1)]
