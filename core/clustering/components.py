"""Connected components of graphs and of grid masks, in torch."""

import torch
from torch import Tensor


def connected_components(links: Tensor) -> Tensor:
    """Number the components of an undirected graph.

    Args:
        links: (n, n) bool; a link in either direction counts.

    Returns:
        (n,) long labels 0..k-1, in the order of each component's lowest member.
    """
    n = len(links)
    if links.shape != (n, n):
        raise ValueError(f"links must be a square matrix (n, n), got {tuple(links.shape)}")
    return components_of_pairs(n, torch.nonzero(links))


def components_of_pairs(n: int, pairs: Tensor) -> Tensor:
    """:func:`connected_components` of n nodes and a list of links (L, 2) long, each in either order or both.

    Every node takes the lowest label among its neighbours, then the label of its label (pointer jumping), until
    nothing changes: a number of rounds that grows with the logarithm of the longest chain.
    """
    source, target = torch.cat([pairs, pairs.flip(1)]).unbind(1)  # (2L,) each, both directions
    labels = torch.arange(n, device=pairs.device)  # (n,)
    while True:
        lower = labels.scatter_reduce(0, source, labels[target], "amin")
        # A root takes the lowest label that its members found, so that whole trees change at once.
        lower = lower.scatter_reduce(0, labels, lower, "amin")
        lower = lower[lower]
        if torch.equal(lower, labels):
            return torch.unique(labels, return_inverse=True)[1]
        labels = lower


def grow(masks: Tensor) -> Tensor:
    """Masks (..., h, w) bool with the four neighbours of every cell added."""
    grown = masks.clone()
    grown[..., 1:, :] |= masks[..., :-1, :]
    grown[..., :-1, :] |= masks[..., 1:, :]
    grown[..., :, 1:] |= masks[..., :, :-1]
    grown[..., :, :-1] |= masks[..., :, 1:]
    return grown


def touching(masks: Tensor) -> Tensor:
    """Which masks overlap or share a side of a cell.

    This is the adjacency of ConceptExpress: two masks touch exactly when their union has fewer 4-connected regions
    than the two have together.

    Args:
        masks: (N, h, w) bool.

    Returns:
        (N, N) bool, symmetric; the diagonal is True for masks that are not empty.
    """
    cells = masks.flatten(1).float()  # (N, h*w)
    return grow(masks).flatten(1).float() @ cells.T > 0.5
