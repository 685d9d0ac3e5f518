"""A workflow under construction: nodes and links in the format that ComfyUI's front end saves."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...host.workflow.registry import Registry
from ...host.workflow.widgets import has_widget
from .layout import Step, arrange
from .sizes import LABELS, SHOWN, Parts

OURS = "ConceptAtelier"
TEXTS = "PrimitiveString"
"""How the classes of nodes begin that hold a text."""
OWN_WIDGETS = ("control_after_generate", "image_upload")
"""Options for which the classic view adds a widget of its own."""


@dataclass(frozen=True)
class Out:
    """An output of a node that was placed."""

    node: int
    slot: int
    type: str


class Subgraph(Protocol):
    """What a sheet needs of a subgraph that it holds."""

    name: str
    nodes: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]

    @property
    def id(self) -> str:
        """The type of its nodes."""

    def definition(self) -> dict[str, Any]:
        """The subgraph as JSON."""


@dataclass
class Sheet:
    """A workflow under construction."""

    registry: Registry
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    blocks: list[Subgraph] = field(default_factory=list)
    first: int = 1
    """The id of the first node."""
    at_the_end: Callable[[], None] | None = None
    """What is done when all nodes are placed."""

    def step(self, title: str, headline: str, note: str, note_height: int, below: int | None = None) -> None:
        """Begin a step of the story, which nodes that are added from now on belong to: a group with a note, whose title
        is the headline. The number of a column puts it ``below`` the step before, with the note in that column."""
        new = Step(title, note_height=note_height, below=below is not None)
        said = {"type": "MarkdownNote", "inputs": [], "outputs": [], "widgets_values": [note]}
        new.note = self._append(said, headline)
        if below is not None:
            new.place(new.note, below, note_height)
        self.steps.append(new)

    def add(
        self,
        kind: str,
        column: int,
        title: str | None = None,
        *,
        collapsed: bool = False,
        **given: Any,
    ) -> list[Out]:
        """Place a node in a column of the step; inputs that are :class:`Out` become links, others widget values.

        Returns its outputs. A ``collapsed`` node shows its title only.
        """
        schema = self.registry.schema(kind)
        number = self.next_id
        sockets: list[dict[str, Any]] = []
        values: list[Any] = []
        for entry in schema.inputs:
            kind_of = entry.get_io_type()
            value = given.pop(entry.id, None)
            socket: dict[str, Any] = {"name": entry.id, "type": kind_of, "link": None}
            if has_widget(entry):
                socket["widget"] = {"name": entry.id}
                values += self._widget_values(entry, self._text_of(value) if isinstance(value, Out) else value)
            socket |= {"label": LABELS[kind, entry.id]} if (kind, entry.id) in LABELS else {}
            if isinstance(value, Out):
                socket["link"] = self._link(value, number, len(sockets))
            sockets.append(socket)
        if given:
            raise ValueError(f"{kind} has no inputs {', '.join(given)}")
        outputs = [
            {"name": o.display_name or o.get_io_type(), "type": o.get_io_type(), "links": []} for o in schema.outputs
        ]
        node = {"type": kind, "inputs": sockets, "outputs": outputs, "widgets_values": values}
        parts = _parts(schema)
        self._place(self._append(node, title), column, parts, SHOWN.get(kind, 0), collapsed)
        return [Out(number, slot, output.get_io_type()) for slot, output in enumerate(schema.outputs)]

    def add_block(self, block: Subgraph, column: int, title: str, **wires: Out) -> list[Out]:
        """Place a subgraph's node. All nodes of one block share what is inside it."""
        if block not in self.blocks:
            self.blocks.append(block)
        number = self.next_id
        sockets = [
            {"name": port["name"], "type": port["type"], "link": self._link(wires.pop(port["name"]), number, slot)}
            for slot, port in enumerate(block.inputs)
        ]
        if wires:
            raise ValueError(f"{block.name} has no inputs {', '.join(wires)}")
        outputs = [{"name": port["name"], "type": port["type"], "links": []} for port in block.outputs]
        node = {"type": block.id, "inputs": sockets, "outputs": outputs, "widgets_values": []}
        parts = Parts(max(len(sockets), len(outputs)), has_footer=True)
        self._place(self._append(node, title, {}), column, parts)
        return [Out(number, slot, port["type"]) for slot, port in enumerate(block.outputs)]

    def align(self, *columns: int) -> None:
        """What is placed next in these columns of the step starts at the same height."""
        self.steps[-1].align(*columns)

    def body(self, name: str) -> dict[str, Any]:
        """The workflow as JSON. The same name gives the same id."""
        if self.at_the_end is not None:
            self.at_the_end()
        drawn = arrange(self.steps, self.links)
        extra = {"reroutes": drawn.reroutes, "linkExtensions": drawn.ends} if drawn.reroutes else {}
        last = max([self.next_id - 1, *(block.next_id - 1 for block in self.blocks)])
        body = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"concept-atelier/{name}")),
            "revision": 0,
            "last_node_id": last,
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": drawn.groups,
            "config": {},
            "extra": extra,
            "version": 0.4,
        }
        return body | ({"definitions": {"subgraphs": [b.definition() for b in self.blocks]}} if self.blocks else {})

    @property
    def next_id(self) -> int:
        """Of the node that is added next."""
        return self.first + len(self.nodes)

    def _text_of(self, source: Out) -> str | None:
        """What a node of text holds, which the classic view shows of a widget that it is linked to; None for others."""
        texts = {node["id"]: node["widgets_values"][0] for node in self.nodes if node["type"].startswith(TEXTS)}
        return texts.get(source.node)

    def _widget_values(self, entry: Any, value: Any) -> list[Any]:
        options = entry.as_dict()
        values = [options.get("default", next(iter(options.get("options", ())), None)) if value is None else value]
        if options.get("control_after_generate"):
            values.append("fixed")
        if options.get("image_upload"):
            values.append("image")
        return values

    def _link(self, source: Out, target: int, slot: int) -> int:
        number = len(self.links) + 1
        self.links.append([number, source.node, source.slot, target, slot, source.type])
        self.nodes[source.node - self.first]["outputs"][source.slot]["links"].append(number)
        return number

    def _append(
        self, node: dict[str, Any], title: str | None = None, properties: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        number = self.next_id
        said = {"Node name for S&R": node["type"]} if properties is None else properties
        whole = {"id": number, **node, "order": number - self.first, "mode": 0, "properties": said}
        self.nodes.append(whole | ({"title": title} if title else {}))
        return self.nodes[-1]

    def _place(self, node: dict[str, Any], column: int, parts: Parts, shown: int = 0, collapsed: bool = False) -> None:
        if not self.steps:
            self.steps.append(Step())
        self.steps[-1].place(node, column, parts.height + shown, foot=parts.foot, collapsed=collapsed)


def _parts(schema: Any) -> Parts:
    """What a node of this kind is made of."""
    widgets = [(entry.get_io_type(), entry.as_dict()) for entry in schema.inputs if has_widget(entry)]
    plain = [(kind, options) for kind, options in widgets if not options.get("multiline")]
    lines = [bool(options.get("advanced")) for kind, options in plain if kind == "STRING"]
    rows = [bool(options.get("advanced")) for kind, options in plain if kind != "STRING"]
    return Parts(
        slots=max(len(schema.inputs) - len(widgets), len(schema.outputs)),
        rows=rows.count(False),
        lines=lines.count(False),
        texts=len(widgets) - len(plain),
        hidden_rows=rows.count(True),
        hidden_lines=lines.count(True),
        controls=sum(bool(options.get(own)) for own in OWN_WIDGETS for _, options in widgets),
        has_badge=schema.node_id.startswith(OURS),
        has_footer=True in rows + lines,
    )
