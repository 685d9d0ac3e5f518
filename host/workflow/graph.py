"""A workflow as it is executed: nodes by id, each with values and links (ComfyUI's API format, read)."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...core.files.json_texts import BadJsonError, kind_of
from ...core.messages import MAX_LETTERS, MAX_SHOWN, first_of, listed, plain, shown

_NODE_ID = re.compile(r"\d+(:\d+)*")
PREFIX = "ConceptAtelier"
"""How the classes of this pack's nodes begin; people may leave it out."""
MOST_NAMES = 5
"""Nodes that a message lists where none has the name, nor a similar one."""


class WorkflowError(ValueError):
    """A workflow that cannot run; the message is its one problem or lists the first, ``problems`` holds all of them."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            super().__init__(self.problems[0])
            return
        lines = [f"- {line}" for line in first_of(self.problems)]
        super().__init__("\n".join([f"the workflow has {len(self.problems)} problems:", *lines]))


@dataclass(frozen=True)
class Link:
    """Output ``slot`` of node ``node``."""

    node: str
    slot: int


@dataclass(frozen=True)
class Broken:
    """Stands where a link would be that leads to nothing; ``problem`` matters only where the node is needed."""

    problem: str


@dataclass(frozen=True)
class GraphNode:
    """A node.

    Attributes:
        id: its name in the graph.
        class_type: its class.
        title: what people call it.
        inputs: what they are given, a :class:`Link` or a value.
        alias: the name by which filename prefixes find it, its class unless someone gave another.
        as_is: inputs whose text ComfyUI's page sends as it is, alternatives and comments included.
    """

    id: str
    class_type: str
    title: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    alias: str = ""
    as_is: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", self.alias or self.class_type)

    def __str__(self) -> str:
        return f'node {plain(self.id)} "{plain(self.title)}" ({plain(self.class_type)})'

    def with_input(self, name: str, value: Any) -> "GraphNode":
        """The node with another value; one that was given anew is as if it had been typed on the page."""
        return replace(self, inputs={**self.inputs, name: value}, as_is=self.as_is - {name})

    def links(self) -> dict[str, Link]:
        """The inputs that are linked."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}


Graph = Mapping[str, GraphNode]


def is_api_format(workflow: Any) -> bool:
    """Whether ``workflow`` is an API workflow: ids to ``{"class_type": ..., "inputs": ...}``, perhaps with notes."""
    return isinstance(workflow, Mapping) and any(
        isinstance(entry, Mapping) and "class_type" in entry for entry in workflow.values()
    )


def read_api(workflow: Mapping[str, Any]) -> dict[str, GraphNode]:
    """Read the API format. What :func:`api_notes` names is left out.

    Raises:
        WorkflowError: for entries that are no nodes.
    """
    nodes = {str(key): entry for key, entry in workflow.items() if _is_node(str(key), entry)}
    problems = [f"node {plain(key)}{issue}" for key, entry in nodes.items() if (issue := _malformed(entry))]
    if problems:
        raise WorkflowError(problems)
    return {key: _read_node(key, entry) for key, entry in nodes.items()}


def api_notes(workflow: Mapping[str, Any]) -> list[str]:
    """Names of the entries of an API workflow that are no nodes: what people and programs note beside them."""
    return [str(key) for key, entry in workflow.items() if not _is_node(str(key), entry)]


def to_api(graph: Graph) -> dict[str, Any]:
    """The API format of a graph, as ComfyUI's front end writes it."""
    return {
        node.id: {
            "inputs": {n: _write_value(value) for n, value in node.inputs.items() if not isinstance(value, Broken)},
            "class_type": node.class_type,
            "_meta": {"title": node.title},
        }
        for node in graph.values()
    }


def find_nodes(graph: Graph, name: str) -> list[GraphNode]:
    """The nodes people mean by ``name``: the one with that id, else those with that title, else of that class, which
    may be written without the prefix of this pack."""
    if name in graph:
        return [graph[name]]
    titled = [node for node in graph.values() if node.title == name]
    return titled or [node for node in graph.values() if name in _class_names(node)]


def find_node(graph: Graph, name: str) -> GraphNode:
    """The one node people mean by ``name``. Raises ``LookupError`` when there is none, or more than one."""
    found = find_nodes(graph, name)
    if len(found) == 1:
        return found[0]
    if found:
        raise LookupError(f"{len(found)} nodes are called {shown(name)}, use the id: {_described(found, len(found))}")
    raise LookupError(f"no node is called {shown(name)}{_hint(graph, name)}")


def _class_names(node: GraphNode) -> tuple[str, str]:
    return node.class_type, node.class_type.removeprefix(PREFIX)


def _hint(graph: Graph, name: str) -> str:
    """The node whose title or class is nearest to a name; where none is near, what nodes there are."""
    known: dict[str, GraphNode] = {}
    for node in graph.values():
        for one in (node.title, *_class_names(node)):
            known.setdefault(one[:MAX_LETTERS].casefold(), node)
    near = difflib.get_close_matches(name[:MAX_LETTERS].casefold(), known, n=1)
    if near:
        return f"; did you mean {known[near[0]]}?"
    return f"; there are {_described(graph.values(), MOST_NAMES)}" if graph else "; the workflow is empty"


def _described(nodes: Iterable[GraphNode], most: int) -> str:
    return listed(map(str, nodes), most=min(most, MAX_SHOWN), letters=300)


def node_id(value: Any, where: str) -> str:
    """An id as files write it, a text or a whole number. Raises :class:`~...core.files.json_texts.BadJsonError`."""
    if not _is_id(value):
        raise BadJsonError(f"{where} names {shown(value)}, expected an id (a text or a whole number)")
    return value if isinstance(value, str) else shown(value)


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _is_node(key: str, entry: Any) -> bool:
    """Whether an entry is meant as a node: it looks like one, or it has a node's number for a name."""
    looks = isinstance(entry, Mapping) and ("class_type" in entry or "inputs" in entry)
    return looks or _NODE_ID.fullmatch(key) is not None


def _malformed(entry: Any) -> str | None:
    """What is wrong with an entry that is meant as a node, to be read behind the node's number."""
    if not isinstance(entry, Mapping):
        return ': expected {"class_type": "...", "inputs": {...}}, got ' + shown(entry)
    if not isinstance(entry.get("_meta") or {}, Mapping):
        return f': "_meta" is {kind_of(entry["_meta"])}, expected a map'
    if "class_type" not in entry:
        title = _title(entry)
        return (f' "{plain(title)}"' if title else "") + (
            " has no class_type; ComfyUI writes that for a node whose pack is missing: install the pack and export "
            "again, or take the entry out"
        )
    if not isinstance(entry["class_type"], str):
        return f": class_type is {shown(entry['class_type'])}, expected the name of a node class"
    if not isinstance(entry.get("inputs") or {}, Mapping):
        return f': "inputs" must map names to values or links, got {shown(entry["inputs"])}'
    return None


def _title(entry: Mapping[str, Any]) -> str:
    return str((entry.get("_meta") or {}).get("title") or "")


def _read_node(key: str, entry: Mapping[str, Any]) -> GraphNode:
    values = {str(name): _read_value(value) for name, value in (entry.get("inputs") or {}).items()}
    return GraphNode(key, entry["class_type"], _title(entry) or entry["class_type"], values)


def _read_value(value: Any) -> Any:
    """Lists are links; a list that is meant as a value comes wrapped as ``{"__value__": [...]}``."""
    if isinstance(value, list) and len(value) == 2 and _is_id(value[0]) and type(value[1]) is int:
        return Link(node_id(value[0], "a link"), value[1])
    return value["__value__"] if isinstance(value, Mapping) and set(value) == {"__value__"} else value


def _write_value(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    return {"__value__": value} if isinstance(value, list) else value
