"""Widgets that a subgraph node shows for its inside, and how their values are stored."""

from typing import Any

from ...core.messages import plain
from .ui_format import UiGraph, UiNode
from .widgets import is_control


def promoted(holder: UiNode, inner: UiGraph) -> dict[str, Any]:
    """Values of the widgets that a subgraph node shows for its inside, by the name of the subgraph's input."""
    stored = holder.widgets_values
    if isinstance(stored, dict):
        return stored
    names = _promoted_names(holder, inner, len(stored or ()))
    return dict(zip(names, stored or (), strict=False))


def _promoted_names(holder: UiNode, inner: UiGraph, count: int) -> list[str]:
    """Whose values a subgraph node stores, in order; "" for values that belong to nothing of ours.

    Three ways of writing are in use: one value for each promoted input; the same with an extra value behind seeds; and
    one for each entry of ``proxyWidgets``, where "-1" marks a promoted input and the others keep their value inside.
    """
    proxies = _proxies(holder)
    names = [entry.name for position, entry in enumerate(inner.inputs) if position in inner.widget_inputs]
    if count <= len(proxies) and any(node == "-1" for node, _ in proxies):
        return [name if node == "-1" else "" for node, name in proxies]
    if count > len(names):
        return _with_controls(names, holder.widgets_values)
    return names


def _proxies(holder: UiNode) -> list[tuple[str, str]]:
    """(node, widget) of each entry of ``proxyWidgets``; empty texts for entries that are none."""
    entries = holder.properties.get("proxyWidgets")
    pairs = (entry[:2] if isinstance(entry, list) else () for entry in (entries if isinstance(entries, list) else ()))
    return [(plain(pair[0]), str(pair[1])) if len(pair) == 2 else ("", "") for pair in pairs]


def _with_controls(names: list[str], stored: list[Any]) -> list[str]:
    ordered: list[str] = []
    waiting = list(names)
    for position, value in enumerate(stored):
        control = position > 0 and is_control(value) and isinstance(stored[position - 1], int)
        ordered.append("" if control or not waiting else waiting.pop(0))
    return ordered
