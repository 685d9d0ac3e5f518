"""The attention heads that may get scales or offsets, and these in force while a model runs."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Literal

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, AttentionSite, Backbone
from ...types import FullChange
from ..skill import TEXT
from ..traces.reading import behind_heads, layers_read
from .offsets import projections_of

Where = Literal["denoiser", "text encoder", "both"]


class Heads:
    """The heads that may get offsets, and scales or offsets of them in force.

    Attributes:
        sizes: name of the projection after them, as skills name it, to (heads, d).
        of_text: whether text encoders are among them.
    """

    def __init__(self, backbone: Backbone, where: Where, device: torch.device) -> None:
        self._backbone, self._device, self.sizes = backbone, device, dict[str, tuple[int, int]]()
        self._names: dict[str, str] = {}
        self._sites: list[AttentionSite] = []
        self._weights: dict[str, Tensor] = {}
        if where != "text encoder":
            self._names = projections_of(backbone)
            self._sites = [site for site in backbone.attention_sites() if site.name in self._names]
            widths = {weight.name: weight.shape[1] for weight in backbone.attention_weights()}
            for site in self._sites:
                name = self._names[site.name]
                self.sizes[name] = site.heads, widths[name] // site.heads
        self.of_text = where != "denoiser"
        if self.of_text:
            self._add_text()

    @torch.no_grad()
    def _add_text(self) -> None:
        read = layers_read(self._backbone)
        with self._backbone.text_layers() as layers:
            self._backbone.encode_text([""])
        weights = {f"{TEXT}{one.encoder}.{one.name}": one.weight for one in self._backbone.text_weights()}
        for encoder, count in read.items():
            for number in range(count):
                name = f"{TEXT}{encoder}.{behind_heads(number)}"
                heads, width = layers[encoder].heads[number].shape[2:]
                self.sizes[name] = int(heads), int(width)
                self._weights[name] = weights[name].detach().to(self._device, torch.float32).clone()

    @contextmanager
    def in_force(self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor]) -> Iterator[None]:
        """Within the context ``z <- (1 + scale) * z + offset`` for what the heads give; gradients reach both."""

        def edit(inputs: AttentionInputs) -> Tensor:
            call, name = inputs.call, self._names[inputs.call.site.name]
            given = attend(call.query, call.key, inputs.value, call.scale, call.bias)  # (B, heads, N, d)
            changed = given * (1 + scales[name][None, :, None]) if name in scales else given
            changed = changed + offsets[name][None, :, None] if name in offsets else changed
            return changed.to(given.dtype)

        with ExitStack() as changes:
            if self._weights:
                changes.enter_context(self._backbone.text_changed(self._text(scales, offsets)))
            if self._sites:
                changes.enter_context(self._backbone.edit_attention(edit, self._sites))
            yield

    def _text(self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor]) -> dict[str, dict[str, FullChange]]:
        """The same as changes of the projection after the heads: ``W diag(scale)`` and, of its bias, ``W offset``."""
        found: dict[str, dict[str, FullChange]] = {}
        for name, weight in self._weights.items():
            encoder, _, inside = name.removeprefix(TEXT).partition(".")
            of = found.setdefault(encoder, {})
            if name in scales:
                of[inside] = FullChange(weight * scales[name].flatten())  # (d_out, d_in)
            if name in offsets:
                bias = f"{inside.removesuffix('.weight')}.bias"
                of[bias] = FullChange((weight @ offsets[name].flatten())[:, None])  # (d_out, 1)
        return found
