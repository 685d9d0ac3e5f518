"""All model families by name."""

from collections.abc import Mapping
from types import MappingProxyType

from .records import ModelFamily
from .transformers import TRANSFORMERS
from .unets import UNETS

FAMILIES: Mapping[str, ModelFamily] = MappingProxyType({family.name: family for family in (*UNETS, *TRANSFORMERS)})
"""Family name to its record."""
