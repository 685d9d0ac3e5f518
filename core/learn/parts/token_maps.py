"""Cross-attention of learnt tokens, kept in the graph so that a loss can steer it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...attention.probabilities import call_mean
from ...attention.resize import resize_maps
from ...backbone import AttentionCall, AttentionSite, Backbone

Spot = tuple[int, tuple[int, ...]]
"""A token's place in a batch: row, and every position it takes."""


@dataclass(eq=False)
class TokenMaps:
    """What the sites of one forward pass add up to."""

    spots: Sequence[Spot]
    grid: tuple[int, int]
    _sums: list[Tensor] = field(default_factory=list)

    def add(self, call: AttentionCall) -> None:
        """Add the attention of one layer."""
        if call.kind != "cross":
            return
        attention = call_mean(call)  # (B, h*w, L)
        maps = torch.stack([attention[row][:, list(positions)].sum(-1) for row, positions in self.spots])  # (K, h*w)
        self._sums.append(resize_maps(maps.unflatten(1, call.grid), self.grid, "bilinear"))  # (K, gh, gw)

    def mean(self) -> Tensor:
        """(K, h, w) attention of each spot, averaged over sites and heads, in 0..1."""
        return torch.stack(self._sums).mean(0)  # (layers, K, gh, gw) to (K, gh, gw)


@contextmanager
def recorded_tokens(
    backbone: Backbone, sites: Sequence[AttentionSite], spots: Sequence[Spot], grid: tuple[int, int]
) -> Iterator[TokenMaps]:
    """Record the attention that tokens get during one forward pass inside the context.

    Args:
        backbone: the model.
        sites: the cross-attention layers to average.
        spots: K tokens: the batch row and the positions of each (its sub-tokens are summed).
        grid: (h, w) that all layers are resized to.
    """
    maps = TokenMaps(spots, grid)
    with backbone.tap_attention(maps.add, sites):
        yield maps


def common_grid(sites: Sequence[AttentionSite], latent_size: tuple[int, int], longest: int) -> tuple[int, int]:
    """The finest of the sites' grids, shrunk in proportion so that its longer side has at most ``longest`` cells."""
    finest = min(sites, key=lambda site: site.downscale).grid(latent_size)
    shrink = max(max(finest) / longest, 1.0)
    return max(round(finest[0] / shrink), 1), max(round(finest[1] / shrink), 1)
