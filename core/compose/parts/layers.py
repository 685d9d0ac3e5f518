"""LoRAs of layers that compute each position for itself, kept to the region of one concept.

A linear layer or a convolution under a LoRA gives ``W x + up (down x)``. Of that the second part is added position by
position, by the share of the region there: ``W x + sum over regions i of  M_i (up_i (down_i x))``. For such layers
this is exact, whatever the share: in the middle of a region the layer is that of the changed model, outside it is the
model's own, to the bit. Layers whose output belongs to no position (of time, of pooled text, modulations) have no such
share.

In transformers rows of the text pass the same kind of layers, in some blocks the very same. Rows of a region's own text
have its LoRA whole, those of the prompt none. The negative text belongs to all regions: it has each LoRA by the share
of the picture that its region takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ...attention.selection import Grid
from ...types import LowRank
from ..composition import Region

_UNPLACED = (
    "time",
    "t_embedder",
    "y_embedder",
    "vector_in",
    "guidance",
    "label_emb",
    "emb_layers",
    "add_embedding",
    "class_embedding",
    "norm",
    "modulation",
    "_mod.",
    "adaln",
)
"""Parts of the names of layers whose output has no place: they read the time, pooled text, or scale whole channels."""

_OF_TEXT = ("txt_", "txtmlp", "txtfusion", "add_", "context", "cap_embedder")
"""Parts of the names of a transformer's layers that read rows of the text."""


@dataclass(frozen=True)
class Layer:
    """A linear layer or convolution as LoRA files name it.

    Attributes:
        name: of the module in the host.
        shape: of its weight, (d_out, d_in) or (d_out, d_in, k, k).
        start: the first row of the weight that the name in the file means; a matrix may hold several layers.
        rows: how many rows it means; None for all.
        attention: the name of the :class:`...backbone.AttentionWeight` that it is in a UNet; None for others.
    """

    name: str
    shape: tuple[int, ...]
    start: int = 0
    rows: int | None = None
    attention: str | None = None

    @property
    def placed(self) -> bool:
        """Whether its output has a row for each position."""
        return len(self.shape) in (2, 4) and not any(part in f"{self.name.lower()}." for part in _UNPLACED)

    @property
    def size(self) -> tuple[int, int]:
        """(d_out, all other sizes multiplied) of a change by this name."""
        return self.shape[0] if self.rows is None else self.rows, torch.Size(self.shape[1:]).numel()

    def whole(self, change: LowRank) -> LowRank:
        """A change by this name as one of the whole weight."""
        behind = self.shape[0] - self.start - self.size[0]
        return LowRank(F.pad(change.up, (0, 0, self.start, behind)), change.down)  # (d_out, r), (r, ...)


def together(first: LowRank, second: LowRank) -> LowRank:
    """The sum of two changes of one weight."""
    return LowRank(torch.cat([first.up, second.up], 1), torch.cat([first.down, second.down]))


@dataclass(frozen=True)
class Convolution:
    """How a convolution goes over what it is given."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class LayerInputs:
    """What an edit of a layer sees when it runs.

    Attributes:
        name: of the layer.
        given: (B, N, C) rows, or (B, C, h, w) of a convolution, all of the positive conditioning or none.
        grid: (h, w) of its output.
        picture: which of the N rows are those of the grid, in reading order; None for none.
        text: the row at which the text's own begin; None for none.
        length: rows of the text.
        conditional: whether they belong to the positive conditioning.
        timestep: the current one, None when unknown.
        convolution: of a convolution; None of a linear layer.
    """

    name: str
    given: Tensor
    grid: Grid
    picture: slice | None = field(default_factory=lambda: slice(None))
    text: int | None = None
    length: int = 0
    conditional: bool = True
    timestep: float | None = None
    convolution: Convolution | None = None


LayerEdit = Callable[[LayerInputs], Tensor | None]
"""What is added to the output of a layer; None for nothing."""


def made_of(inputs: LayerInputs, change: LowRank) -> Tensor:
    """What a change makes of a layer's input, everywhere: (B, N, d_out), or (B, d_out, h, w) of a convolution."""
    given, how = inputs.given, inputs.convolution
    up, down = change.up.to(given), change.down.to(given)
    if how is None:
        return given @ down.T @ up.T
    inner = F.conv2d(given, down.unflatten(1, (-1, *how.kernel)), stride=how.stride, padding=how.padding)
    return F.conv2d(inner, up[..., None, None])


def blended(inputs: LayerInputs, regions: Sequence[Region], parts: Tensor, counts: Sequence[float]) -> Tensor | None:
    """What the LoRAs of regions add to a layer; None where none of them changes it.

    Args:
        inputs: of the layer.
        regions: R of them.
        parts: (B or 1, R, h, w) on the layer's grid, how much each counts in each position.
        counts: of each, what it counts now.
    """
    total = None
    for number, region in enumerate(regions):
        change = region.layers.get(inputs.name)
        part = parts[:, number].to(inputs.given)  # (B or 1, h, w)
        if change is None or not bool(part.any()):
            continue
        weight = part[:, None] if inputs.convolution else _of_rows(inputs, region, part, min(counts[number], 1.0))
        more = weight * made_of(inputs, change)
        total = more if total is None else total + more
    return total


def _of_rows(inputs: LayerInputs, region: Region, part: Tensor, count: float) -> Tensor:
    """(B or 1, N, 1) how much a region's LoRA counts in each row."""
    weight = part.new_zeros(len(part), inputs.given.shape[1], 1)
    if inputs.picture is not None:
        weight[:, inputs.picture, 0] = part.flatten(1)
    if inputs.text is not None and inputs.conditional:
        weight[:, inputs.text + region.columns.start : inputs.text + region.columns.stop] = count
    elif inputs.text is not None:
        weight[:, inputs.text : inputs.text + inputs.length] = part.flatten(1).mean(1)[:, None, None]
    return weight


@dataclass(frozen=True)
class RowsOfPass:
    """Where rows lie in a pass of a denoiser.

    Attributes:
        latent: (h, w) of the latent.
        grid: (h, w) of the picture's rows, of a transformer; None for a UNet, which has several.
        text: rows of the text before the picture's, those that pad it included.
        context: the row at which the conditioning's begin.
        length: rows of the conditioning.
        picture: rows of the picture, those that pad it included.
    """

    latent: Grid
    grid: Grid | None = None
    text: int = 0
    context: int = 0
    length: int = 0
    picture: int = 0


Place = tuple[Grid, slice | None, int | None]
"""The grid of a layer's positions, which of its rows are theirs, and at which row those of the conditioning begin."""


def place_of(name: str, rows: int, running: RowsOfPass) -> Place | None:
    """Where the rows of a linear layer lie; None where they are neither the picture's nor the text's."""
    if running.grid is None:
        grid = _grid_of(rows, running.latent)
        return None if grid is None else (grid, slice(None), None)
    cells = running.grid[0] * running.grid[1]
    if rows >= running.text + running.picture:  # of both, and of reference pictures behind them
        here = slice(running.text, running.text + cells)
        return running.grid, here, running.context
    of_text = any(part in name for part in _OF_TEXT)
    if of_text or (rows in (running.text, running.length) and rows < cells):
        return running.grid, None, running.context if rows == running.text else 0
    return (running.grid, slice(0, cells), None) if rows >= cells else None


def _grid_of(rows: int, latent: Grid) -> Grid | None:
    """The grid of so many cells that a UNet has for a latent."""
    scale = 1
    while scale <= max(latent):
        grid = -(-latent[0] // scale), -(-latent[1] // scale)
        if grid[0] * grid[1] == rows:
            return grid
        scale *= 2
    return None
