"""What separates objects from background: the end-of-text map, and the prior that background holds the border.

All maps are (h, w) float in 0..1, higher for objects.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...attention.resize import resize_maps
from ...attention.selection import Grid
from ...attention.stretch import minmax
from .settings import LocalizeSettings


def is_flat(saliency: Tensor) -> bool:
    """Whether a map says the same everywhere."""
    return bool(saliency.max() - saliency.min() <= 1e-6)


def end_of_text_saliency(columns: Mapping[Grid, Tensor], grid: Grid) -> Tensor:
    """The end-of-text token's map: the mean of its grids, each resized bilinearly, stretched to 0..1.

    Args:
        columns: grid (h, w) to (h, w), the attention that every cell pays to the *first* end-of-text token.
        grid: (H, W) of the result.

    Raises:
        ValueError: for no grids, or values that are not finite.
    """
    if not columns:
        raise ValueError("end-of-text saliency needs cross-attention maps, and there are none")
    resized = torch.stack([resize_maps(column.float(), grid, "bilinear") for column in columns.values()])
    if not torch.isfinite(resized).all():
        raise ValueError("cross-attention holds NaN or infinite values; run the model in float32")
    return minmax(resized.mean(0))


def border_saliency(attention: Tensor, grid: Grid) -> Tensor:
    """One minus how strongly each cell hangs together with the border.

    For a cell that attends evenly to a region R the measure is ``|R on the border| / sqrt(|R|)``, the boundary
    connectivity of Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014, equation 3: an
    object that is cut by one side scores 1, background that runs around it far more. Here the region is soft: its
    area is the perplexity of the cell's row.

    Args:
        attention: (h*w, h*w), rows sum to one.
    """
    border = border_cells(grid).flatten().to(attention.device)
    entropy = -torch.special.xlogy(attention, attention).sum(-1)
    connectivity = attention[:, border].sum(-1) * (entropy / 2).exp()
    return (
        (1 - minmax(connectivity)).view(grid) if not is_flat(connectivity) else torch.ones_like(connectivity).view(grid)
    )


def border_cells(grid: Grid) -> Tensor:
    """(h, w) bool, the outermost ring."""
    border = torch.ones(grid, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    return border


def combine_saliency(
    end_of_text: Tensor | None, attention: Tensor, grid: Grid, settings: LocalizeSettings
) -> tuple[Tensor, tuple[str, ...]]:
    """The saliency (h, w) that the settings ask for, and notes on what was decided.

    Args:
        end_of_text: (h, w), or None when no cross-attention was recorded.
        attention: (h*w, h*w), rows sum to one.
    """
    if settings.saliency == "none":
        return torch.ones(grid, device=attention.device), ()
    border = border_saliency(attention, grid)
    if settings.saliency == "border":
        return border, ()
    if end_of_text is None:
        return border, (
            "The model's attention to the text could not be read; what is like the picture's edge is background.",
        )
    if settings.sign_test and points_to_background(end_of_text, border):
        end_of_text = 1 - end_of_text
    if settings.saliency == "end_of_text" or is_flat(border):
        return end_of_text, ()
    return (end_of_text + border) / 2, ()


def points_to_background(end_of_text: Tensor, border: Tensor) -> bool:
    """Whether the two maps (h, w) are negatively correlated."""
    return bool(((end_of_text - end_of_text.mean()) * (border - border.mean())).sum() < 0)
