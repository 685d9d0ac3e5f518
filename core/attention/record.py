"""Recording attention while a model runs.

The softmax is computed beside the model's own attention, averaged over heads and added to running means at once:
beyond those, never more than one layer's map is held, and the model's output is bit-identical.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..backbone import AttentionCall, Backbone, Conditioning
from .accumulate import RunningMeans
from .maps import AttentionMaps
from .probabilities import conditional_mean
from .resize import resize_maps
from .selection import Selection


class AttentionRecorder:
    """Collects the attention that a :class:`Selection` asks for, over any number of passes.

    Only rows of the positive conditioning are kept. Either open it around passes (:meth:`recording`), or hand
    :meth:`tap` and :meth:`begin` to something that samples.
    """

    def __init__(self, selection: Selection | None = None) -> None:
        self.selection = selection or Selection()
        self.begin()

    def begin(self, conditioning: Conditioning | None = None) -> None:
        """Forget everything; remember the positive conditioning of what comes, where it is known."""
        self._cross, self._self = RunningMeans(), RunningMeans()
        self._context: Tensor | None = None if conditioning is None else conditioning.context.detach().clone()

    @contextmanager
    def recording(self, backbone: Backbone) -> Iterator["AttentionRecorder"]:
        """Record what the backbone computes within the context; the backbone is as before afterwards, on any exit."""
        sites = [site for site in backbone.attention_sites() if self.selection.admits_site(site)]
        with backbone.tap_attention(self.tap, sites):
            yield self

    @torch.no_grad()
    def tap(self, call: AttentionCall) -> None:
        """Add one attention layer, where the selection admits it."""
        if not self.selection.admits(call) or not any(call.conditional):
            return
        mean = conditional_mean(call)
        if call.kind == "self":
            self._self.add(call.grid, mean, call.site.name)
        else:
            self._add_cross(call, mean)

    def _add_cross(self, call: AttentionCall, mean: Tensor) -> None:
        """Add (B, h*w, L) as maps (B, L, h, w)."""
        positions = self.selection.positions
        if positions is not None:
            if max(positions) >= mean.shape[2]:
                raise ValueError(f"token positions {positions} were asked for; the text has {mean.shape[2]}")
            mean = mean[:, :, list(positions)]
        maps = mean.transpose(1, 2).unflatten(2, call.grid)
        grid = self.selection.resize_to or call.grid
        self._cross.add(grid, resize_maps(maps, grid), call.site.name)

    @property
    def empty(self) -> bool:
        """Whether nothing was recorded yet."""
        return not self._cross.counts() and not self._self.counts()

    def maps(self) -> AttentionMaps:
        """The means so far. Raises ``ValueError`` when nothing was recorded."""
        cross, own = self._cross.means(), self._self.means()
        if not cross and not own:
            raise ValueError(f"no attention was recorded: nothing ran, or nothing fits {self.selection}")
        return AttentionMaps(
            cross=cross,
            self_attention=own,
            cross_counts=self._cross.counts(),
            self_counts=self._self.counts(),
            cross_layers=self._cross.layers(),
            self_layers=self._self.layers(),
            positions=self.selection.positions,
            context=self._context,
        )
