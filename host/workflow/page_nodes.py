"""Nodes that exist only in ComfyUI's page, of its own and of packs that many workflows use.

The page takes them out before it sends a workflow to be run: labels and buttons without a trace, reroutes and
Set/Get pairs by linking what lies behind them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

PASSING = frozenset({"Reroute", "Reroute (rgthree)", "SetNode", "easy setNode"})
"""The first input comes out again."""

SETTER_OF = {"GetNode": "SetNode", "easy getNode": "easy setNode"}
"""Nodes that bring what another one of the same name was given, to the class of that other one."""

BROADCASTING = frozenset({"Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?", "Prompts Everywhere"})
"""Their links are drawn by the page, and kept in the workflow's ``ue_links``."""

SILENT = frozenset({"Note", "MarkdownNote", "PrimitiveNode"}) | PASSING | frozenset(SETTER_OF)
"""Nothing is lost with them, so nothing is said."""

_RGTHREE = (
    "Bookmark",
    "Fast Actions Button",
    "Fast Bypasser",
    "Fast Groups Bypasser",
    "Fast Groups Muter",
    "Fast Muter",
    "Label",
    "Mute / Bypass Relay",
    "Mute / Bypass Repeater",
    "Node Collector",
    "Random Unmuter",
)

VIRTUAL = SILENT | BROADCASTING | {f"{name} (rgthree)" for name in _RGTHREE} | {"Note Plus (mtb)"}
"""All of them."""


def drawn_links(canvas: Mapping[str, Any]) -> Iterable[tuple[Any, Any, Any, Any]]:
    """Origin, its output, target and its input of each link that Anything Everywhere draws when the page is opened.

    Entries that are damaged are left out: the page writes them anew.
    """
    extra = canvas.get("extra")
    entries = extra.get("ue_links") if isinstance(extra, Mapping) else None
    keys = ("upstream", "upstream_slot", "downstream", "downstream_slot")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping):
            origin, slot, target, position = (entry.get(key) for key in keys)
            if type(slot) is type(position) is int and isinstance(origin, str | int) and isinstance(target, str | int):
                yield origin, slot, target, position
