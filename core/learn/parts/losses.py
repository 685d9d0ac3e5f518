"""Training losses."""

from typing import Literal

from torch import Tensor

from ...messages import shown
from .transport import sinkhorn_divergence, transport_cost

AlignmentLoss = Literal["transport", "divergence", "mse"]


def masked_denoising(noise: Tensor, predicted: Tensor, masks: Tensor) -> Tensor:
    """Squared error of the predicted noise inside the masks, averaged over all elements (ConceptExpress, L_rec).

    Args:
        noise: (B, C, h, w), the truth.
        predicted: (B, C, h, w).
        masks: (B, h, w) in 0..1, the share of each cell that counts.

    Returns:
        (B,), one loss per prompt.
    """
    weights = masks[:, None].to(noise.dtype)  # (B, 1, h, w)
    return ((noise - predicted.to(noise.dtype)) * weights).square().mean((1, 2, 3))  # (B, C, h, w) to (B,)


def attention_alignment(
    maps: Tensor,
    targets: Tensor,
    kind: AlignmentLoss = "transport",
    regularisation: float = 0.02,
    iterations: int = 100,
) -> Tensor:
    """How far the attention of tokens lies from where their concepts are.

    Args:
        maps: (K, h, w) non-negative attention, any scale; gradients reach it.
        targets: (K, h, w) non-negative, any scale; gets no gradient.
        kind: ``transport``: earth mover's distance in cells between both, each summing to 1 (ConceptExpress, L_att);
            ``divergence``: the same without entropic bias; ``mse``: mean squared difference of both, each with
            maximum 1 (Break-A-Scene, arXiv 2305.16311).
        regularisation, iterations: of the transport, see :func:`.transport.transport_cost`.

    Returns:
        (K,), one loss per token.
    """
    grid = (maps.shape[1], maps.shape[2])
    ours, theirs = maps.flatten(1), targets.detach().flatten(1)  # (K, h*w)
    if kind == "mse":
        return (_to_peak(ours) - _to_peak(theirs)).square().mean(1)  # (K, h*w) to (K,)
    ours, theirs = ours / ours.sum(1, keepdim=True), theirs / theirs.sum(1, keepdim=True)
    if kind == "transport":
        return transport_cost(ours, theirs, grid, regularisation, iterations)
    if kind == "divergence":
        return sinkhorn_divergence(ours, theirs, grid, regularisation, iterations)
    raise ValueError(f"unknown alignment loss {shown(kind)}, expected transport, divergence or mse")


def _to_peak(rows: Tensor) -> Tensor:
    return rows / rows.amax(1, keepdim=True)
