"""Every method of erasing concepts, by name, in the order that people are shown."""

from collections.abc import Mapping

from ..registry import collect
from .eraser import Eraser

METHODS: Mapping[str, Eraser] = collect(
    __package__,
    "METHOD",
    "methods.uce",
    "methods.rece",
    "methods.speed",
    "methods.mace",
    "methods.realera",
    "methods.hirm",
    "methods.few_shot",
    "methods.esd",
    "methods.all_but_one",
    "methods.doco",
    "methods.realera_lora",
    "methods.mace_lora",
)
"""Method name to its record. To add a method, write its file and add one line here (see docs/extend.md)."""
