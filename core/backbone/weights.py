"""The weights of a model that methods read and change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..types import Change


@dataclass(frozen=True, eq=False)
class KeyValueWeight:
    """A weight by which text enters the denoiser.

    Attributes:
        name: by which :class:`..types.Erasure` and files know it.
        role: ``key`` or ``value`` of a cross-attention layer; ``text`` of the one layer by which a transformer reads
            all rows of its text, for keys and values alike; ``pooled`` of one that reads the pooled text.
        weight: (d_out, D), as it is in force now (not to be written to).
    """

    name: str
    role: Literal["key", "value", "text", "pooled"]
    weight: Tensor


@dataclass(frozen=True)
class AttentionWeight:
    """A projection of an attention site, by which a method says what it trains.

    Attributes:
        name: as :attr:`KeyValueWeight.name`; what :meth:`.model.Backbone.adapted` goes by.
        kind: of the site it belongs to.
        role: what it projects to; ``out`` is the projection behind the heads.
        shape: (d_out, d_in).
    """

    name: str
    kind: Literal["self", "cross", "joint"]
    role: Literal["query", "key", "value", "out"]
    shape: tuple[int, int]


@dataclass(frozen=True, eq=False)
class TextWeight:
    """A weight or bias of a layer of a text encoder.

    Attributes:
        encoder: the text encoder (``clip_l``, ``clip_g``, ``clip_h``).
        name: its name in transformers below ``text_model``, such as ``encoder.layers.0.mlp.fc1.weight``.
        weight: (d_out, d_in) or (d_out,), as it is in force now (not to be written to).
    """

    encoder: str
    name: str
    weight: Tensor


@dataclass(frozen=True, eq=False)
class TextLayers:
    """What the layers of a CLIP text encoder computed; copies without gradients.

    Attributes:
        states: the input of the first layer and the output of each, (B, L, d) each.
        heads: what the heads of each layer gave, before the projection behind them, (B, L, heads, d / heads) each.
    """

    states: list[Tensor]
    heads: list[Tensor]


TextChanges = Mapping[str, Mapping[str, Change]]
"""Text encoder to changes of its weights, by :attr:`TextWeight.name`; a bias (d_out,) changes by (d_out, 1)."""
