"""How many things of a kind a picture shows: every cell points to the middle of the thing that it belongs to, and cells
that point to one middle are one thing. Two of a kind are so told apart where they nearly touch."""

import torch
from torch import Tensor, nn

REACH = 2.5
"""Cells, at most, between what two cells of one thing point to; chosen on development scenes, where shorter ones split
things and longer ones join neighbours. A thing of the world is at least four cells wide."""

SMALLEST = 0.15
"""Of the cells of the largest thing, that another of its kind has at least. A few cells of something else that look
like this kind have less; copies in the world that nothing covers have half."""


class CounterNet(nn.Module):
    """A judge's features (B, D, h, w) to where the middle of each cell's thing is: (B, 2, h, w), cells down and to the
    right from the cell's own middle. Means nothing where a cell belongs to no thing.

    Args:
        features: D.
        width: channels between the layers.
    """

    def __init__(self, features: int = 64, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)


def things(cells: Tensor, middles: Tensor, least: int) -> list[Tensor]:
    """The things that some cells belong to, each (h, w) bool, the largest first.

    The cell that most others agree with, to within :data:`REACH`, begins a thing, and those that agree with the mean of
    these belong to it; then the next among the rest, while at least ``least`` agree. Cells that point elsewhere belong
    to nothing, and neither do things below :data:`SMALLEST`.

    Args:
        cells: (h, w) bool, those of one kind.
        middles: (2, h, w), of :class:`CounterNet`.
        least: cells of the smallest thing.
    """
    places = cells.nonzero()  # (n, 2)
    pointed = places + middles[:, cells].T  # (n, 2)
    agree = torch.cdist(pointed, pointed) <= REACH  # (n, n)
    left = torch.ones(len(places), dtype=torch.bool, device=cells.device)
    found = []
    while left.any():
        numbers = (agree & left).sum(1) * left  # (n,)
        first = numbers.argmax()
        if int(numbers[first]) < least:
            break
        near = agree[first] & left
        near = (near | ((pointed - pointed[near].mean(0)).norm(dim=1) <= REACH)) & left
        thing = torch.zeros_like(cells)
        thing[places[near, 0], places[near, 1]] = True
        found.append(thing)
        left &= ~near
    found.sort(key=lambda one: -int(one.sum()))
    return [one for one in found if one.sum() >= SMALLEST * found[0].sum()]
