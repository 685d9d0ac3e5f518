"""The workflow format that people share, read into dataclasses: nodes with slots, links, subgraph definitions."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ...core.files.json_texts import BadJsonError, a_list, a_map, a_text, a_whole
from ...core.messages import plain
from .graph import WorkflowError, node_id
from .page_nodes import SETTER_OF, drawn_links

ALWAYS, MUTED, BYPASSED = 0, 2, 4
"""Node modes; every other mode runs like ALWAYS."""

ALIAS = "Node name for S&R"
"""The property that holds the name by which filename prefixes find a node."""

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"
"""Ids by which links inside a subgraph name its own inputs and outputs."""


@dataclass(frozen=True)
class UiSlot:
    """An input or output of a node. ``widget`` says that an input belongs to a widget."""

    name: str
    type: str
    link: str | None = None
    widget: bool = False


@dataclass(frozen=True)
class UiLink:
    """From an output to an input, by node id and position."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True)
class UiNode:
    """A node as drawn."""

    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[UiSlot, ...]
    outputs: tuple[UiSlot, ...]
    widgets_values: Any
    properties: Mapping[str, Any]

    def __str__(self) -> str:
        return f'node {plain(self.id)} "{plain(self.title)}" ({plain(self.type)})'

    @property
    def widget(self) -> Any:
        """The value of the first widget; None where there is none."""
        stored = self.widgets_values
        values = list(stored.values()) if isinstance(stored, Mapping) else stored
        return values[0] if values else None


@dataclass(frozen=True)
class UiGraph:
    """A canvas: the workflow itself, or the inside of a subgraph, which has inputs and outputs of its own."""

    name: str
    nodes: Mapping[str, UiNode]
    links: Mapping[str, UiLink]
    inputs: tuple[UiSlot, ...] = ()
    outputs: tuple[UiSlot, ...] = ()

    @cached_property
    def setters(self) -> Mapping[tuple[str, str], UiNode]:
        """Class and name to the first Set node that has them."""
        found = [
            node for node in self.nodes.values() if node.type in SETTER_OF.values() and isinstance(node.widget, str)
        ]
        return {(node.type, node.widget): node for node in reversed(found)}

    @cached_property
    def outlets(self) -> Mapping[int, UiLink]:
        """The link that feeds each output of a subgraph."""
        ends = [link for link in self.links.values() if link.target == SUBGRAPH_OUTPUT]
        return {link.target_slot: link for link in reversed(ends)}

    @cached_property
    def widget_inputs(self) -> frozenset[int]:
        """The inputs of a subgraph that feed a widget inside."""
        starts = [link for link in self.links.values() if link.origin == SUBGRAPH_INPUT]
        return frozenset(link.origin_slot for link in starts if self._at_widget(link))

    def _at_widget(self, link: UiLink) -> bool:
        slots = self.nodes[link.target].inputs if link.target in self.nodes else ()
        return 0 <= link.target_slot < len(slots) and slots[link.target_slot].widget


@dataclass(frozen=True)
class UiWorkflow:
    """The top canvas and the subgraph definitions by id."""

    top: UiGraph
    subgraphs: Mapping[str, UiGraph] = field(default_factory=dict)


def is_ui_format(workflow: Any) -> bool:
    """Whether ``workflow`` has the list of nodes that only the UI format has."""
    return isinstance(workflow, Mapping) and isinstance(workflow.get("nodes"), list)


def read_ui(workflow: Mapping[str, Any]) -> UiWorkflow:
    """Read the UI format.

    Raises:
        WorkflowError: for a file that is damaged: nodes without id or type, links that are no links, ids used twice.
    """
    try:
        definitions = a_map(workflow.get("definitions") or {}, '"definitions"').get("subgraphs") or []
        subgraphs = dict(_read_subgraph(entry) for entry in a_list(definitions, "the list of subgraphs"))
        return UiWorkflow(_read_canvas(workflow, "workflow"), subgraphs)
    except BadJsonError as error:
        raise WorkflowError([f"the file is damaged: {error}; export it again"]) from error


def _read_subgraph(entry: Any) -> tuple[str, UiGraph]:
    definition = a_map(entry, "a subgraph")
    key = node_id(definition.get("id"), "the id of a subgraph")
    return key, _read_canvas(definition, plain(definition.get("name") or "subgraph"))


def _read_canvas(canvas: Mapping[str, Any], name: str) -> UiGraph:
    nodes = [_read_node(entry, name) for entry in a_list(canvas.get("nodes"), f"the list of nodes of {name}")]
    twice = [key for key, count in Counter(node.id for node in nodes).items() if count > 1]
    if twice:
        raise WorkflowError([f"{name}: node id {plain(key)} is used twice" for key in sorted(twice)])
    links = a_list(canvas.get("links") or [], f"the list of links of {name}")
    graph = UiGraph(
        name=name,
        nodes={node.id: node for node in nodes},
        links=dict(_read_link(entry, name) for entry in links if entry is not None),
        inputs=_read_slots(canvas.get("inputs"), name),
        outputs=_read_slots(canvas.get("outputs"), name),
    )
    return _with_drawn_links(graph, canvas)


def _with_drawn_links(graph: UiGraph, canvas: Mapping[str, Any]) -> UiGraph:
    """The canvas with the links that the page draws when it opens a file, where nothing else is linked."""
    nodes, links = dict(graph.nodes), dict(graph.links)
    where = f"a link of {graph.name} (ue_links)"
    for number, entry in enumerate(drawn_links(canvas)):
        key, (_, link) = f"ue:{number}", _read_link([number, *entry], where)
        node = nodes.get(link.target)
        if node is not None and 0 <= link.target_slot < len(node.inputs):
            slot = node.inputs[link.target_slot]
            if slot.link not in links:  # a file that was saved while they were drawn names links that it does not hold
                inputs = (
                    *node.inputs[: link.target_slot],
                    replace(slot, link=key),
                    *node.inputs[link.target_slot + 1 :],
                )
                nodes[node.id], links[key] = replace(node, inputs=inputs), link
        elif link.target == SUBGRAPH_OUTPUT and link.target_slot not in graph.outlets:
            links[key] = link
    return replace(graph, nodes=nodes, links=links) if len(links) > len(graph.links) else graph


def _read_node(entry: Any, canvas: str) -> UiNode:
    node = a_map(entry, f"a node of {canvas}")
    key = node_id(node.get("id"), f"the id of a node of {canvas}")
    where = f"node {plain(key)}"
    kind = a_text(node.get("type"), f"the type of {where}")
    properties = a_map(node.get("properties") or {}, f"properties of {where}")
    stored = node.get("widgets_values")
    return UiNode(
        id=key,
        type=kind,
        title=_first_text(node.get("title"), properties.get(ALIAS), kind),
        mode=a_whole(node.get("mode") or ALWAYS, f"the mode of {where}"),
        inputs=_read_slots(node.get("inputs"), where),
        outputs=_read_slots(node.get("outputs"), where),
        widgets_values=stored if isinstance(stored, Mapping | list | None) else [stored],
        properties=properties,
    )


def _first_text(*candidates: Any) -> str:
    return next((text for text in candidates if isinstance(text, str) and text), "")


def _read_slots(entries: Any, where: str) -> tuple[UiSlot, ...]:
    return tuple(_read_slot(a_map(entry, f"a socket of {where}")) for entry in a_list(entries or [], where))


def _read_slot(entry: Mapping[str, Any]) -> UiSlot:
    link = entry.get("link")
    return UiSlot(
        name=_first_text(entry.get("name")),
        type=_read_type(entry.get("type", "*")),
        link=None if link is None else node_id(link, "a socket's link"),
        widget=bool(entry.get("widget")),
    )


def _read_type(kind: Any) -> str:
    """Old files list a combo's choices as the type; 0 and -1 stand for "any"."""
    if isinstance(kind, list):
        return "COMBO"
    return kind if isinstance(kind, str) and kind else "*"


def _read_link(entry: Any, canvas: str) -> tuple[str, UiLink]:
    """A list at the top (id, origin, slot, target, slot, type), an object inside subgraphs."""
    if isinstance(entry, Mapping):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        entry = [entry.get(key) for key in keys]
    where = f"a link of {canvas}"
    if len(a_list(entry, where)) < 5:
        raise BadJsonError(f"{where} has {len(entry)} entries, expected an id, two nodes and their sockets")
    link_id, origin, origin_slot, target, target_slot = entry[:5]
    ends = node_id(origin, where), a_whole(origin_slot, where), node_id(target, where), a_whole(target_slot, where)
    return node_id(link_id, where), UiLink(*ends)
