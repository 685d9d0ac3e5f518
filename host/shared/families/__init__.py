"""The model families that the pack supports: one record each, which adapters and messages read."""

from .messages import no_concepts, supported, supported_tuning
from .records import ModelFamily, Transformer
from .table import FAMILIES

__all__ = [
    "FAMILIES",
    "ModelFamily",
    "Transformer",
    "no_concepts",
    "supported",
    "supported_tuning",
]
