"""Every scenario of attacking an erasure, by name, in the order that people are shown."""

from collections.abc import Mapping
from types import MappingProxyType

from .scenario import Scenario
from .scenarios import embedding, inversion, noise, pictures, relearning, sequence, text

_FILES = (text, embedding, inversion, pictures, noise, sequence, relearning)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {scenario.name: scenario for file in _FILES for scenario in file.SCENARIOS}
)
"""Scenario name to its record. To add one, write it in a file of ``scenarios`` and list the file here."""

FIVE = ("names", "embedding", "embedding_transferred", "inversion", "inversion_transferred")
"""The scenarios of M-ErasureBench (arXiv 2512.22877)."""
