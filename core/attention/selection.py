"""Which attention is kept while a model runs."""

from dataclasses import dataclass
from typing import Literal

from ..backbone import AttentionCall, AttentionSite

Grid = tuple[int, int]
Kind = Literal["self", "cross"]
Stage = Literal["down", "mid", "up"]
Role = Literal["query", "key", "value", "out"]


@dataclass(frozen=True)
class Selection:
    """What a recorder keeps; every condition must hold.

    Attributes:
        kinds: ``self`` (picture reads picture), ``cross`` (picture reads text), or both.
        stages: where in a UNet; layers without a stage are always kept.
        grids: these grids (h, w) only; None for all.
        min_side: least cells along a grid's shorter side.
        max_side: most cells along its longer side; None for no limit. Self-attention takes (h*w)**2 floats. It chooses
            among the grids of a UNet and has no effect on layers without a stage, which all have the same grid.
        timesteps: lowest and highest timestep, both included; None for all.
        positions: token positions to keep of cross-attention; None for all.
        resize_to: cross-attention is resized to this grid (bicubic, not below 0) before it is added up, so that all
            layers share one accumulator; None keeps one per grid.
        sites: names of the layers; None leaves the choice to the model's adapter.
    """

    kinds: tuple[Kind, ...] = ("self", "cross")
    stages: tuple[Stage, ...] = ("down", "mid", "up")
    grids: tuple[Grid, ...] | None = None
    min_side: int = 1
    max_side: int | None = None
    timesteps: tuple[float, float] | None = None
    positions: tuple[int, ...] | None = None
    resize_to: Grid | None = None
    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.timesteps is not None and self.timesteps[0] > self.timesteps[1]:
            raise ValueError(f"timesteps must be (lowest, highest), got {self.timesteps}")
        if self.max_side is not None and self.max_side < self.min_side:
            raise ValueError(f"max_side {self.max_side} is below min_side {self.min_side}: no grid fits")
        if self.positions is not None and (not self.positions or min(self.positions) < 0):
            raise ValueError(f"positions must be token positions from 0, at least one, got {self.positions}")

    def admits_site(self, site: AttentionSite) -> bool:
        """Whether a layer can contribute at all (its grid is not known before it runs)."""
        placed = site.stage is None or site.stage in self.stages
        named = self.sites is None or site.name in self.sites
        return placed and named and any(site.reads(kind) for kind in self.kinds)

    def expects(self, site: AttentionSite, latent_size: Grid) -> bool:
        """Whether a layer will contribute to a pass over a latent of (h, w) cells, at the timesteps that are kept."""
        return self.admits_site(site) and self._admits_grid(site, site.grid(latent_size))

    def admits(self, call: AttentionCall) -> bool:
        """Whether to keep this call. Raises ``ValueError`` when a timestep range is asked for and none is known."""
        wanted = self.admits_site(call.site) and call.kind in self.kinds and self._admits_grid(call.site, call.grid)
        return wanted and self._admits_timestep(call.timestep)

    def _admits_grid(self, site: AttentionSite, grid: Grid) -> bool:
        listed = self.grids is None or grid in self.grids
        small = self.max_side is None or site.stage is None or max(grid) <= self.max_side
        return listed and small and min(grid) >= self.min_side

    def _admits_timestep(self, timestep: float | None) -> bool:
        if self.timesteps is None:
            return True
        if timestep is None:
            raise ValueError("a timestep range was asked for, but the rows of this pass have different timesteps")
        return self.timesteps[0] <= timestep <= self.timesteps[1]


def timestep_span(start: float, end: float, total: int) -> tuple[float, float]:
    """A stretch of denoising (0 its noisy start, 1 its clean end) as lowest and highest of ``total`` timesteps."""
    return (1 - end) * total, (1 - start) * total
