"""The workflow format that people share, read into dataclasses: nodes with slots, links, subgraph definitions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .graph import WorkflowError

ALWAYS, MUTED, BYPASSED = 0, 2, 4
"""Node modes; every other mode runs like ALWAYS."""

SUBGRAPH_INPUT, SUBGRAPH_OUTPUT = "-10", "-20"
"""Ids by which links inside a subgraph name its own inputs and outputs."""


@dataclass(frozen=True)
class UiSlot:
    """An input or output of a node. ``widget`` tells that an input belongs to a widget."""

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
        return f'node {self.id} "{self.title}" ({self.type})'


@dataclass(frozen=True)
class UiGraph:
    """A canvas: the workflow itself, or the inside of a subgraph, which has inputs and outputs of its own."""

    name: str
    nodes: Mapping[str, UiNode]
    links: Mapping[str, UiLink]
    inputs: tuple[UiSlot, ...] = ()
    outputs: tuple[UiSlot, ...] = ()


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
    definitions = (workflow.get("definitions") or {}).get("subgraphs") or []
    try:
        subgraphs = {str(entry["id"]): _read_canvas(entry, str(entry.get("name", "subgraph"))) for entry in definitions}
        return UiWorkflow(_read_canvas(workflow, "workflow"), subgraphs)
    except WorkflowError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkflowError([f"the file is damaged ({type(error).__name__}: {error}); export it again"]) from error


def _read_canvas(canvas: Mapping[str, Any], name: str) -> UiGraph:
    nodes = [_read_node(entry) for entry in canvas["nodes"]]
    twice = sorted({node.id for node in nodes if sum(other.id == node.id for other in nodes) > 1})
    if twice:
        raise WorkflowError([f"{name}: node id {node_id} is used twice" for node_id in twice])
    return UiGraph(
        name=name,
        nodes={node.id: node for node in nodes},
        links=dict(map(_read_link, canvas.get("links") or [])),
        inputs=_read_slots(canvas.get("inputs")),
        outputs=_read_slots(canvas.get("outputs")),
    )


def _read_node(entry: Mapping[str, Any]) -> UiNode:
    kind = str(entry["type"])
    named = (entry.get("properties") or {}).get("Node name for S&R")
    return UiNode(
        id=str(entry["id"]),
        type=kind,
        title=str(entry.get("title") or named or kind),
        mode=int(entry.get("mode") or ALWAYS),
        inputs=_read_slots(entry.get("inputs")),
        outputs=_read_slots(entry.get("outputs")),
        widgets_values=entry.get("widgets_values"),
        properties=entry.get("properties") or {},
    )


def _read_slots(entries: Iterable[Mapping[str, Any]] | None) -> tuple[UiSlot, ...]:
    return tuple(
        UiSlot(
            name=str(entry.get("name", "")),
            type=_read_type(entry.get("type", "*")),
            link=None if entry.get("link") is None else str(entry["link"]),
            widget=bool(entry.get("widget")),
        )
        for entry in entries or ()
    )


def _read_type(kind: Any) -> str:
    """Old files list a combo's choices as the type; 0 and -1 stand for "any"."""
    if isinstance(kind, list):
        return "COMBO"
    return kind if isinstance(kind, str) and kind else "*"


def _read_link(entry: Any) -> tuple[str, UiLink]:
    """A list at the top (id, origin, slot, target, slot, type), an object inside subgraphs."""
    if isinstance(entry, Mapping):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        entry = [entry[key] for key in keys]
    link_id, origin, origin_slot, target, target_slot = entry[:5]
    return str(link_id), UiLink(str(origin), int(origin_slot), str(target), int(target_slot))
