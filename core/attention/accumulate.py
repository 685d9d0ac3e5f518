"""Running means of attention maps: one sum per grid, whatever the number of layers and steps."""

from dataclasses import dataclass, field

from torch import Tensor

from .selection import Grid


@dataclass(eq=False)
class RunningMeans:
    """Sums of maps per grid, how many went in, and which layers they came from."""

    _sums: dict[Grid, Tensor] = field(default_factory=dict)
    _counts: dict[Grid, int] = field(default_factory=dict)
    _layers: dict[Grid, set[str]] = field(default_factory=dict)

    def add(self, grid: Grid, maps: Tensor, layer: str) -> None:
        """Add one layer's maps. Raises ``ValueError`` when their shape is not that of the earlier ones."""
        if grid not in self._sums:
            self._sums[grid] = maps.clone()
        elif self._sums[grid].shape == maps.shape:
            self._sums[grid] += maps
        else:
            raise ValueError(
                f"attention on the {grid[0]}x{grid[1]} grid was {tuple(self._sums[grid].shape)} and is now "
                f"{tuple(maps.shape)}: batch or text length changed within one recording"
            )
        self._counts[grid] = self._counts.get(grid, 0) + 1
        self._layers.setdefault(grid, set()).add(layer)

    def means(self) -> dict[Grid, Tensor]:
        """Grid to the mean of its maps, the finest grid first."""
        return {grid: self._sums[grid] / self._counts[grid] for grid in self._finest_first()}

    def counts(self) -> dict[Grid, int]:
        """Grid to the number of maps in its mean."""
        return {grid: self._counts[grid] for grid in self._finest_first()}

    def layers(self) -> dict[Grid, int]:
        """Grid to the number of different layers in its mean."""
        return {grid: len(self._layers[grid]) for grid in self._finest_first()}

    def _finest_first(self) -> list[Grid]:
        return sorted(self._sums, key=lambda grid: (-grid[0] * grid[1], grid))
