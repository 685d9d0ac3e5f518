"""Cross-attention of chosen tokens that stays in the graph, for losses that steer attention."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..backbone import AttentionCall, Backbone
from .probabilities import head_mean
from .selection import Grid, Selection


@dataclass
class TokenMaps:
    """The layers of one forward pass that share a grid.

    Attributes:
        positions: the token positions of each batch row, equally many per row.
    """

    selection: Selection
    positions: Tensor
    _parts: list[tuple[Grid, Tensor]] = field(default_factory=list)

    def tap(self, call: AttentionCall) -> None:
        """Take in one attention layer."""
        if not self.selection.admits(call):
            return
        attention = head_mean(call.query, call.key, call.scale)
        index = self.positions.to(attention.device)[:, None].expand(-1, attention.shape[1], -1)
        maps = attention.gather(2, index).transpose(1, 2).unflatten(2, call.grid)
        self._parts.append((call.grid, maps))

    def mean(self) -> Tensor:
        """(B, T, h, w), the mean over heads and layers, in 0..1; gradients flow to queries and keys.

        Raises ``ValueError`` unless all layers share one grid.
        """
        grids = sorted({grid for grid, _ in self._parts})
        if len(grids) != 1:
            raise ValueError(f"token maps need layers of exactly one grid, the selection gave {grids or 'none'}")
        return torch.stack([maps for _, maps in self._parts]).mean(0)


@contextmanager
def token_maps(
    backbone: Backbone, selection: Selection, positions: Sequence[Sequence[int]] | Tensor
) -> Iterator[TokenMaps]:
    """Within the context, collect the maps of tokens during one forward pass.

    Args:
        backbone: the model.
        selection: which cross-attention layers; they must share one grid.
        positions: (B, T) token positions per batch row.
    """
    collector = TokenMaps(selection, torch.as_tensor(positions, dtype=torch.long))
    sites = [site for site in backbone.attention_sites() if site.kind == "cross" and selection.admits_site(site)]
    with backbone.tap_attention(collector.tap, sites):
        yield collector
