"""Every concept layer, by name, in the order that people are shown."""

from collections.abc import Mapping

from ...registry import collect
from .layer import ConceptLayer

LAYERS: Mapping[str, ConceptLayer] = collect(
    __package__,
    "LAYER",
    "layers.none",
    "layers.l1",
    "layers.contrastive",
    "layers.gumbel",
    "layers.local",
)
"""Layer name to its record. To add a layer, write its file in ``layers/`` and add one line (see docs/extend.md)."""
