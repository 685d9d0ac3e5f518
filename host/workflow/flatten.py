"""From what is drawn to what is executed: subgraphs opened, bypassed and muted nodes gone, front-end nodes resolved.

Every question is "what feeds this input?", answered by walking against the links: out of a subgraph through its
inputs, into one through its outputs, past bypassed nodes, reroutes and primitives, until a node that runs, a value, or
nothing is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...core.messages import listed, plain, shown
from .graph import Broken, GraphNode, Link, WorkflowError
from .page_nodes import PASSING, SETTER_OF, SILENT, VIRTUAL
from .passing import WIDGETS
from .promoted_widgets import promoted
from .registry import Registry
from .ui_format import ALIAS, BYPASSED, MUTED, SUBGRAPH_INPUT, UiGraph, UiNode, UiSlot, UiWorkflow
from .widgets import widget_values

MAX_NODES = 200_000
"""Nodes of all canvases of an opened workflow, notes included."""
MAX_LEVELS = 100
"""Subgraphs inside one another."""


@dataclass(frozen=True)
class Value:
    """An input is fed by a widget; ``as_is`` when by one that a subgraph shows, whose text the page does not read."""

    value: Any
    as_is: bool = False


@dataclass(frozen=True)
class Scope:
    """A canvas in its place: ``path`` names the subgraph nodes that lead to it, ``holder`` is the innermost one."""

    graph: UiGraph
    path: tuple[str, ...] = ()
    holder: UiNode | None = None
    outer: Scope | None = None

    def id_of(self, node: UiNode) -> str:
        """The id under which a node runs: ``12:3`` is node 3 of subgraph node 12."""
        return ":".join([*self.path, node.id])


@dataclass(frozen=True)
class _Asked:
    """What feeds the input at ``position`` of a node, where a value of the type ``kind`` is wanted?"""

    scope: Scope
    node: UiNode
    position: int
    kind: str

    def mark(self) -> tuple[Any, ...]:
        return self.scope.path, self.node.id, self.position, self.kind

    def __str__(self) -> str:
        return f'{self.node}, input "{plain(self.node.inputs[self.position].name)}"'


Answer = Link | Value | Broken | None


def flatten(workflow: UiWorkflow, registry: Registry) -> tuple[dict[str, GraphNode], list[str]]:
    """The executable graph of a workflow, and a line about what was left out of it.

    Nodes of unknown classes are kept with their links only. Links that lead nowhere and circles of front-end nodes
    become :class:`~.graph.Broken`, for the check that follows to name them where they matter.

    Raises:
        WorkflowError: for subgraphs that contain themselves or open into more nodes than :data:`MAX_NODES`.
    """
    flattener = _Flattener(workflow, registry)
    return flattener.run(), flattener.notes()


class _Flattener:
    def __init__(self, workflow: UiWorkflow, registry: Registry) -> None:
        self._workflow, self._registry = workflow, registry
        self._left_out: list[UiNode] = []
        self._opened = 0
        self._known: dict[tuple[Any, ...], Answer] = {}
        self._promoted_of: dict[tuple[str, ...], dict[str, Any]] = {}

    def run(self) -> dict[str, GraphNode]:
        nodes = {scope.id_of(node): (scope, node) for scope, node in self._running(Scope(self._workflow.top))}
        fed = {key: self._inputs_of(scope, node) for key, (scope, node) in nodes.items()}
        return {key: self._graph_node(key, node, fed[key], nodes) for key, (_, node) in nodes.items()}

    def _graph_node(
        self, key: str, node: UiNode, fed: dict[str, Link | Value | Broken], nodes: dict[str, Any]
    ) -> GraphNode:
        inputs = {name: entry.value if isinstance(entry, Value) else entry for name, entry in fed.items()}
        as_is = frozenset(name for name, entry in fed.items() if isinstance(entry, Value) and entry.as_is)
        alias = str(node.properties.get(ALIAS) or "")
        return GraphNode(key, node.type, self._title(node), _without_dead_links(inputs, nodes), alias, as_is)

    def notes(self) -> list[str]:
        """What only the page shows and more than a reader might miss."""
        names = listed(map(str, self._left_out), letters=300)
        return [f"left out, since they exist only in ComfyUI's page: {names}"] if names else []

    def _running(self, scope: Scope) -> Iterator[tuple[Scope, UiNode]]:
        """Every node that runs, subgraphs opened, with the canvas it stands on."""
        self._count(scope)
        for node in scope.graph.nodes.values():
            if node.mode in (MUTED, BYPASSED):
                continue
            if node.type in VIRTUAL:
                self._left_out += [] if node.type in SILENT else [node]
            elif node.type not in self._workflow.subgraphs:
                yield scope, node
            elif _holders(scope, node.type, self._workflow):
                raise WorkflowError([f"{node}: the subgraph contains itself"])
            else:
                yield from self._running(self._inside(scope, node))

    def _count(self, scope: Scope) -> None:
        """Subgraphs that use one another several times over grow without end while they are opened."""
        self._opened += 1 + len(scope.graph.nodes)
        if self._opened > MAX_NODES:
            raise WorkflowError([f"opened, the workflow has more than {MAX_NODES} nodes; does a subgraph multiply?"])
        if len(scope.path) > MAX_LEVELS:
            raise WorkflowError([f"{scope.holder}: subgraphs lie more than {MAX_LEVELS} deep inside one another"])

    def _inside(self, scope: Scope, node: UiNode) -> Scope:
        return Scope(self._workflow.subgraphs[node.type], (*scope.path, node.id), node, scope)

    def _title(self, node: UiNode) -> str:
        if node.title != node.type or node.type not in self._registry:
            return node.title
        return self._registry.schema(node.type).display_name or node.title

    def _inputs_of(self, scope: Scope, node: UiNode) -> dict[str, Link | Value | Broken]:
        """Widget values, overridden by what is linked."""
        fed: dict[str, Link | Value | Broken] = {name: Value(value) for name, value in self._widgets_of(node).items()}
        for position, slot in enumerate(node.inputs):
            found = self._answer(_Asked(scope, node, position, slot.type))
            if found is not None:
                fed[slot.name] = found
        return fed

    def _widgets_of(self, node: UiNode) -> dict[str, Any]:
        stored = node.widgets_values
        if node.type in self._registry:
            drawn = [slot.name for slot in node.inputs if slot.widget]
            return widget_values(self._registry.schema(node.type), stored, drawn)
        names = WIDGETS.get(node.type, ())
        return (
            dict(zip(names, stored, strict=False)) if isinstance(stored, list) else dict(stored or {}) if names else {}
        )

    def _answer(self, asked: _Asked) -> Answer:
        """Walk from input to input until something that runs, a value or nothing is found.

        A loop, not a recursion, since chains may be longer than Python's stack; every answer is kept for all inputs
        that the walk came past, since many may hang on one chain.
        """
        passed: dict[tuple[Any, ...], None] = {}
        found: _Asked | Answer = asked
        while isinstance(found, _Asked):
            mark = found.mark()
            if mark in self._known:
                found = self._known[mark]
            elif mark in passed:
                found = Broken(f"{asked}: its link runs in a circle")
            else:
                passed[mark] = None
                found = self._input(found)
        self._known.update(dict.fromkeys(passed, found))
        return found

    def _input(self, asked: _Asked) -> _Asked | Answer:
        """One step of the walk: what feeds an input, or the next input to follow."""
        scope, key = asked.scope, asked.node.inputs[asked.position].link
        if key is None:
            return None
        link = scope.graph.links.get(key)
        if link is None:
            return Broken(f"{asked}: link {plain(key)} is missing from the file")
        if link.origin_slot < 0:
            return Broken(f"{asked}: linked to output {link.origin_slot} of node {plain(link.origin)}")
        if link.origin == SUBGRAPH_INPUT and scope.outer is not None:
            return self._subgraph_input(scope, link.origin_slot, asked.kind)
        origin = scope.graph.nodes.get(link.origin)
        if origin is None:
            return Broken(f"{asked}: linked to node {plain(link.origin)}, which does not exist")
        return self._output(scope, origin, link.origin_slot, asked.kind)

    def _subgraph_input(self, scope: Scope, position: int, kind: str) -> _Asked | Answer:
        """What feeds a subgraph's own input: a link of the node that holds it, or that node's copy of the widget."""
        holder, outer = scope.holder, scope.outer
        if holder is None or outer is None or not 0 <= position < len(scope.graph.inputs):
            return None
        name = scope.graph.inputs[position].name
        slot = next((i for i, entry in enumerate(holder.inputs) if entry.name == name), None)
        if slot is not None and holder.inputs[slot].link is not None:
            return _Asked(outer, holder, slot, kind)
        if scope.path not in self._promoted_of:
            self._promoted_of[scope.path] = promoted(holder, scope.graph)
        value = self._promoted_of[scope.path].get(name)
        return None if value is None else Value(value, as_is=True)

    def _output(self, scope: Scope, node: UiNode, slot: int, kind: str) -> _Asked | Answer:
        """What really comes out of an output; a link to a node that does not run is taken out at the end."""
        if node.mode == BYPASSED:
            position = _bypass(node, slot, kind)
            return None if position is None else _Asked(scope, node, position, node.inputs[position].type)
        if node.type in self._workflow.subgraphs:
            return self._subgraph_output(self._inside(scope, node), slot, kind)
        if node.type in PASSING:
            return _Asked(scope, node, 0, kind) if node.inputs else None
        if node.type in SETTER_OF:
            return self._got(scope, node, kind)
        if node.type == "PrimitiveNode":
            return None if node.widget is None else Value(node.widget)
        return None if node.type in VIRTUAL else Link(scope.id_of(node), slot)

    def _got(self, scope: Scope, getter: UiNode, kind: str) -> _Asked | Answer:
        """What the Set node of a Get node's name was given: one on its own canvas, else on those around it."""
        name, around = getter.widget, scope
        if not isinstance(name, str):
            return Broken(f"{getter}: its name is {shown(name)}, expected a text")
        while True:
            setter = around.graph.setters.get((SETTER_OF[getter.type], name))
            if setter is not None:
                return _Asked(around, setter, 0, kind) if setter.inputs else None
            if around.outer is None:
                return Broken(f"{getter}: no {SETTER_OF[getter.type]} sets {shown(name)}")
            around = around.outer

    def _subgraph_output(self, inside: Scope, slot: int, kind: str) -> _Asked | Answer:
        link = inside.graph.outlets.get(slot)
        if link is None or len(inside.path) > MAX_LEVELS:
            return None
        if link.origin == SUBGRAPH_INPUT:
            return self._subgraph_input(inside, link.origin_slot, kind)
        origin = inside.graph.nodes.get(link.origin)
        if origin is None:
            name = plain(inside.graph.name)
            return Broken(f'subgraph "{name}": output {slot} is linked to a node that is missing')
        return self._output(inside, origin, link.origin_slot, kind)


def _holders(scope: Scope, kind: str, workflow: UiWorkflow) -> bool:
    """Whether ``scope`` already lies inside the subgraph ``kind``."""
    inside: Scope | None = scope
    while inside is not None:
        if inside.graph is workflow.subgraphs[kind]:
            return True
        inside = inside.outer
    return False


def _bypass(node: UiNode, slot: int, kind: str) -> int | None:
    """The input that a bypassed node passes to an output: the one at the same position if its type fits, else the
    first of the type that is wanted."""
    if kind == "*":
        return min(slot, len(node.inputs) - 1) if slot < len(node.inputs) else (0 if node.inputs else None)
    made = node.outputs[slot].type if slot < len(node.outputs) else kind

    def fits(entry: UiSlot) -> bool:
        return _connects(entry.type, made) and _connects(entry.type, kind)

    if slot < len(node.inputs) and fits(node.inputs[slot]):
        return slot
    exact = (i for i, entry in enumerate(node.inputs) if entry.type == kind)
    loose = (i for i, entry in enumerate(node.inputs) if fits(entry))
    return next(exact, next(loose, None))


def _connects(one: str, other: str) -> bool:
    return "*" in (one, other) or bool(set(one.split(",")) & set(other.split(",")))


def _without_dead_links(inputs: dict[str, Any], nodes: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in inputs.items() if not isinstance(v, Link) or v.node in nodes}
