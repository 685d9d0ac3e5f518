"""Every method of composing concepts, by name, in the order that people are shown."""

from collections.abc import Mapping

from ..registry import collect
from .composer import Composer

METHODS: Mapping[str, Composer] = collect(
    __package__,
    "METHOD",
    "methods.attention_couple",
    "methods.lora_composer",
    "methods.t2i_zero",
    "methods.attend_and_excite",
    "methods.localized_refinement",
    "methods.concept_conductor",
    "methods.area",
    "methods.plain",
)
"""Method name to its record. To add a method, write its file and add one line here (see docs/extend.md)."""
