"""Every method of localising concepts, by name, in the order that people are shown."""

from collections.abc import Mapping

from ..messages import listed, shown
from ..registry import collect
from .localizer import Localizer

METHODS: Mapping[str, Localizer] = collect(
    __package__,
    "METHOD",
    "methods.conceptexpress",
    "methods.diffseg",
    "methods.attencraft",
)
"""Method name to its record. To add a method, write its file and add one line here (see docs/extend.md)."""

_SAVED = {("conceptexpress", "diffseg"): ("diffseg", "paper")}
"""Pairs of method and preset that workflows have saved, and what they are called now."""


def preset_names() -> list[str]:
    """The presets of all methods that need no words, and those that workflows have saved; each once."""
    names = [name for method in METHODS.values() if not method.needs for name in method.presets]
    return list(dict.fromkeys([*names, *(preset for _, preset in _SAVED)]))


def method_and_preset(method: str, preset: str) -> tuple[Localizer, str]:
    """The method and the name of its preset, for names that a workflow may have saved long ago.

    Raises ``ValueError`` for a method that is not there, and for a preset that the method does not have.
    """
    name, preset = _SAVED.get((method, preset), (method, preset))
    if name not in METHODS:
        raise ValueError(f"there is no method {shown(name)} of localising; there are {listed(METHODS)}")
    METHODS[name].preset(preset)
    return METHODS[name], preset
