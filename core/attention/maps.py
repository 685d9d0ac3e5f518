"""What a recording leaves: mean attention per grid, and how to bring grids together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .resize import Mode, resize_maps
from .selection import Grid


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Mean attention over heads, layers and timesteps, per grid, the finest first.

    Attributes:
        cross: grid (h, w) to (B, L, h, w) float32: how much each cell reads each token; sums to 1 over L when all
            tokens were kept; in joint sites to the share that the text has in the row.
        self_attention: grid to (B, h*w, h*w) float32, query by key; rows sum to 1, in joint sites to the
            picture's share.
        cross_counts: grid to the number of maps (layers x passes) in its mean.
        self_counts: the same for ``self_attention``.
        cross_layers: grid to the number of different layers in its mean.
        self_layers: the same for ``self_attention``.
        positions: the token positions that L runs over; None for all of them.
        context: (1 or B, L, D), the conditioning the attention was recorded with, where it is known.
    """

    cross: Mapping[Grid, Tensor]
    self_attention: Mapping[Grid, Tensor]
    cross_counts: Mapping[Grid, int]
    self_counts: Mapping[Grid, int]
    cross_layers: Mapping[Grid, int]
    self_layers: Mapping[Grid, int]
    positions: tuple[int, ...] | None = None
    context: Tensor | None = None

    def columns(self, positions: Sequence[int]) -> list[int]:
        """Where token positions lie along L. Raises ``ValueError`` for a position that was not kept."""
        length = next(iter(self._need_cross().values())).shape[1]
        kept = list(range(length)) if self.positions is None else list(self.positions)
        missing = [position for position in positions if position not in kept]
        if missing:
            raise ValueError(f"token positions {missing} were not recorded; kept were {_ranges(kept)}")
        return [kept.index(position) for position in positions]

    def token(self, position: int) -> dict[Grid, Tensor]:
        """Grid to the map (B, h, w) of one token position."""
        column = self.columns([position])[0]
        return {grid: maps[:, column] for grid, maps in self.cross.items()}

    def reads(self, context: Tensor) -> bool:
        """Whether every recorded row was conditioned on ``context`` (1, L, D)."""
        if self.context is None or self.context.shape[1:] != context.shape[1:]:
            return False
        return torch.allclose(self.context, context.to(self.context).expand_as(self.context), rtol=1e-3, atol=1e-3)

    def check_text(self, context: Tensor) -> None:
        """Raise ``ValueError`` unless every recorded row was conditioned on ``context`` (1, L, D)."""
        if self.context is None:
            raise ValueError("it is not known which text this attention was recorded with: record a sampling run")
        if not self.reads(context):
            raise ValueError("this is not the text that was sampled: give the same text and tokens as the sampler got")

    def combined_cross(
        self,
        size: Grid | None = None,
        weights: Mapping[Grid, float] | None = None,
        mode: Mode = "bicubic",
        positions: Sequence[int] | None = None,
    ) -> Tensor:
        """All grids of cross-attention on one.

        Args:
            size: (H, W) of the result; default the finest recorded grid.
            weights: grid to weight >= 0, missing ones are left out; default the number of maps, so that all layers
                and timesteps count alike.
            mode: see :func:`resize_maps`.
            positions: of the tokens that are wanted, in this order; None for all. Few of them take less memory.

        Returns:
            (B, L, H, W), the weighted mean, L as many as there are positions.

        Raises:
            ValueError: when no cross-attention was recorded, no grid has a weight, or a position was not kept.
        """
        cross = self._need_cross()
        shares = dict(self.cross_counts if weights is None else weights)
        chosen = {grid: shares[grid] for grid in cross if shares.get(grid, 0) > 0}
        if not chosen:
            raise ValueError(f"no recorded grid has a weight: recorded {list(cross)}, weights for {list(shares)}")
        target = next(iter(cross)) if size is None else size
        total, columns = sum(chosen.values()), slice(None) if positions is None else self.columns(positions)
        parts = (
            resize_maps(cross[grid][:, columns], target, mode) * (share / total)  # (B, L, H, W)
            for grid, share in chosen.items()
        )
        joined = next(parts)
        for part in parts:  # one at a time: all tokens of a large picture take gigabytes
            joined = joined + part
        return joined

    def _need_cross(self) -> Mapping[Grid, Tensor]:
        if not self.cross:
            raise ValueError("no cross-attention was recorded; choose the kind 'cross' before sampling")
        return self.cross


def _ranges(numbers: list[int]) -> str:
    return f"{numbers[0]}..{numbers[-1]}" if numbers == list(range(numbers[0], numbers[-1] + 1)) else str(numbers)
