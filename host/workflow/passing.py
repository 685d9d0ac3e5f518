"""Nodes of other packs that only pass on what they are given: switches and contexts.

Which input they pass on is known before anything runs, so links to them are replaced by what lies behind them, and
the nodes that would be unknown here are gone. A switch that the run itself sets is refused where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...core.messages import shown
from .graph import Broken, Graph, GraphNode, Link
from .registry import Registry

MAX_DEPTH = 100
"""Switches and contexts behind one another."""

_CONTEXT = ("model", "clip", "vae", "positive", "negative", "latent", "images", "seed")
_BIG_CONTEXT = (
    *_CONTEXT,
    *("steps", "step_refiner", "cfg", "ckpt_name", "sampler", "scheduler", "clip_width", "clip_height"),
    *("text_pos_g", "text_pos_l", "text_neg_g", "text_neg_l", "mask", "control_net"),
)
CONTEXTS = {
    f"{name}{size} (rgthree)": fields
    for name in ("Context", "Context Switch", "Context Merge")
    for size, fields in (("", _CONTEXT), (" Big", _BIG_CONTEXT))
}
"""Class to its outputs behind the first one, which is the context itself; they are also what a context may hold."""

YES_NO = {"ComfySwitchNode": "switch"} | {
    f"Switch {kind} [Crystools]": "boolean" for kind in ("any", "string", "conditioning", "image", "mask", "latent")
}
"""Class to the input that chooses between ``on_true`` and ``on_false``."""

NUMBERED = "ImpactSwitch"
FIRST = "Any Switch (rgthree)"
_ONE = {"ReroutePrimitive|pysssss": "value"}

WIDGETS = {NUMBERED: ("select", "sel_mode"), **{name: (entry,) for name, entry in YES_NO.items()}}
"""Class to its widgets, in the order in which the UI format stores them."""

_VALUES = frozenset({"PrimitiveBoolean", "PrimitiveInt"})


def without_passing(graph: Graph, registry: Registry) -> dict[str, GraphNode]:
    """The graph with every link past the nodes that only pass on, and without those."""
    return _Passing(graph, registry).graph()


class _Passing:
    def __init__(self, graph: Graph, registry: Registry) -> None:
        self._graph = graph
        kinds = {*CONTEXTS, *YES_NO, NUMBERED, FIRST, *_ONE} - set(registry)
        self._passing = {key for key, node in graph.items() if node.class_type in kinds}
        self._known: dict[tuple[str, int | str], Any] = {}

    def graph(self) -> dict[str, GraphNode]:
        kept = {key: node for key, node in self._graph.items() if key not in self._passing}
        return {key: self._relinked(node) for key, node in kept.items()} if self._passing else kept

    def _relinked(self, node: GraphNode) -> GraphNode:
        behind = {name: self._behind(value, 0) for name, value in node.inputs.items()}
        return replace(node, inputs={name: value for name, value in behind.items() if value is not None})

    def _behind(self, given: Any, depth: int) -> Any:
        """What really feeds an input: a link to a node that runs, a value, :class:`Broken`, or None for nothing."""
        if not isinstance(given, Link) or given.node not in self._passing:
            return given
        node = self._graph[given.node]
        if depth > MAX_DEPTH:
            return Broken(f"{node}: more than {MAX_DEPTH} switches and contexts lie behind one another")
        if node.class_type in CONTEXTS:
            fields = CONTEXTS[node.class_type]
            if not 0 < given.slot <= len(fields):
                return Broken(f"{node}: its context can only be read by nodes of the same pack")
            return self._field(node, fields[given.slot - 1], depth + 1)
        mark = (node.id, given.slot)
        if mark not in self._known:
            self._known[mark] = Broken(f"{node}: the switch feeds itself")
            self._known[mark] = self._chosen(node, given.slot, depth + 1)
        return self._known[mark]

    def _chosen(self, node: GraphNode, slot: int, depth: int) -> Any:
        """What a switch passes on."""
        if node.class_type == FIRST:
            found = (self._behind(value, depth) for value in _named(node, "any_"))
            return next((value for value in found if value is not None), None)
        if node.class_type in _ONE:
            return self._behind(node.inputs.get(_ONE[node.class_type]), depth)
        name = YES_NO.get(node.class_type, "select")
        set_to = self._value(node.inputs.get(name), depth)
        if isinstance(set_to, Broken | Link | None):
            return Broken(f'{node}: its input "{name}" is set while the workflow runs, which works in ComfyUI only')
        if node.class_type in YES_NO:
            return self._behind(node.inputs.get("on_true" if set_to else "on_false"), depth)
        if slot != 0:
            return Broken(f"{node}: only its first output, what was selected, can be read here")
        if f"input{set_to}" not in node.inputs:
            return Broken(f"{node}: it selects input {shown(set_to)}, to which nothing is connected")
        return self._behind(node.inputs[f"input{set_to}"], depth)

    def _value(self, given: Any, depth: int) -> Any:
        """What feeds an input, where it comes from a node that holds a value the value."""
        found = self._behind(given, depth)
        node = self._graph.get(found.node) if isinstance(found, Link) else None
        return node.inputs.get("value") if node is not None and node.class_type in _VALUES else found

    def _field(self, node: GraphNode, name: str, depth: int) -> Any:
        """What the context that a node gives holds under a name."""
        mark = (node.id, name)
        if mark not in self._known:
            self._known[mark] = Broken(f"{node}: the context feeds itself")
            self._known[mark] = self._found(node, name, depth)
        return self._known[mark]

    def _found(self, node: GraphNode, name: str, depth: int) -> Any:
        if "Switch" in node.class_type:
            held = (source for source in self._contexts(node, depth) if not self._is_empty(source, depth))
            return self._of(next(held, None), name, depth)
        if "Merge" in node.class_type:
            values = (self._of(source, name, depth) for source in reversed(list(self._contexts(node, depth))))
            return next((value for value in values if value is not None), None)
        own = self._behind(node.inputs.get(name), depth)
        return self._of(self._context(node.inputs.get("base_ctx"), depth), name, depth) if own is None else own

    def _contexts(self, node: GraphNode, depth: int) -> Iterator[GraphNode | Broken]:
        found = (self._context(value, depth) for value in _named(node, "ctx_"))
        return (source for source in found if source is not None)

    def _context(self, given: Any, depth: int) -> GraphNode | Broken | None:
        """The node that gives a context."""
        while isinstance(given, Link) and given.node in self._passing:
            node = self._graph[given.node]
            if node.class_type in CONTEXTS:
                return node if given.slot == 0 else None
            depth += 1
            given = next((value for value in _named(node, "any_") if value is not None), None)
            if depth > MAX_DEPTH:
                return Broken(f"{node}: more than {MAX_DEPTH} switches and contexts lie behind one another")
        if isinstance(given, Link):
            return Broken(f"a context comes from node {given.node}, which works in ComfyUI only")
        return given if isinstance(given, Broken) else None

    def _is_empty(self, source: GraphNode | Broken, depth: int) -> bool:
        return all(self._of(source, name, depth) is None for name in _BIG_CONTEXT)

    def _of(self, source: GraphNode | Broken | None, name: str, depth: int) -> Any:
        if not isinstance(source, GraphNode):
            return source
        if depth > MAX_DEPTH:
            return Broken(f"{source}: more than {MAX_DEPTH} switches and contexts lie behind one another")
        return self._field(source, name, depth + 1)


def _named(node: GraphNode, start: str) -> list[Any]:
    """What is given to the inputs whose names begin so, in their order."""
    given: Mapping[str, Any] = node.inputs
    return [value for name, value in given.items() if name.startswith(start)]
