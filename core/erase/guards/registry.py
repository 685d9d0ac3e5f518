"""Every method of erasing while a picture is sampled, by name, in the order that people are shown."""

from collections.abc import Mapping

from ...registry import collect
from .guard import Guard

METHODS: Mapping[str, Guard] = collect(
    __package__,
    "METHOD",
    "irece",
    "adavd",
    "guidance",
    "dve",
)
"""Method name to its record. To add a method, write its file and add one line here."""
