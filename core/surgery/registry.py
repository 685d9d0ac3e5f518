"""Every method of localising a skill and every rule for overlaps, by name, in the order that people are shown."""

from collections.abc import Mapping

from ..registry import collect
from .localiser import Localiser
from .stitcher import OverlapRule

METHODS: Mapping[str, Localiser] = collect(__package__, "METHOD", "methods.dataless")
"""Method name to its record. To add a method, write its file and add one line here (see docs/extend.md)."""

RULES: Mapping[str, OverlapRule] = collect(
    __package__,
    "RULE",
    "overlaps.average",
    "overlaps.largest",
    "overlaps.sign_vote",
    "overlaps.priority",
    "overlaps.sum",
)
"""Rule name to its record."""
