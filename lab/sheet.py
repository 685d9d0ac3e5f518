"""A workflow under construction: nodes laid out from left to right, in the format that ComfyUI's front end saves."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from ..host.registry import Registry

COLUMN, GAP, TITLE = 380, 40, 30
SLOT, WIDGET, MARGIN, MULTILINE, PICTURE, LINE = 20, 24, 14, 60, 240, 20
"""What ComfyUI's front end gives a row of sockets, a widget, a node's rims, a field of text, a picture
on a node, a line of what it says."""
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
SHOWN = {
    "LoadImage": PICTURE,
    "SaveImage": PICTURE,
    "ConceptAtelierLocalizeConcepts": PICTURE + 8 * LINE,
    "ConceptAtelierEditConcepts": PICTURE + 4 * LINE,
    "ConceptAtelierConceptsFromMasks": PICTURE + 4 * LINE,
    "ConceptAtelierLearnConceptTokens": PICTURE,
    "ConceptAtelierShowWordHeatmap": PICTURE,
    "ConceptAtelierScoreConcepts": PICTURE + 6 * LINE,
    "ConceptAtelierLoadConceptPrototypes": 4 * LINE,
    "ConceptAtelierEraseConcepts": 6 * LINE,
    "ConceptAtelierSaveConceptTokens": 4 * LINE,
    "ConceptAtelierSaveErasureAsLora": 4 * LINE,
}
"""Room that nodes need once they have run."""


@dataclass(frozen=True)
class Out:
    """An output of a node that was placed."""

    node: int
    slot: int
    type: str


@dataclass
class Sheet:
    """A workflow under construction."""

    registry: Registry
    nodes: list[dict[str, Any]] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    bottoms: dict[int, float] = field(default_factory=dict)

    def add(self, kind: str, column: int, title: str | None = None, **given: Any) -> list[Out]:
        """Place a node; inputs that are :class:`Out` become links, others widget values. Returns its outputs."""
        schema = self.registry.schema(kind)
        number = len(self.nodes) + 1
        sockets: list[dict[str, Any]] = []
        values: list[Any] = []
        for entry in schema.inputs:
            kind_of = entry.get_io_type()
            value = given.pop(entry.id, None)
            socket: dict[str, Any] = {"name": entry.id, "type": kind_of, "link": None}
            if kind_of in WIDGETS:
                socket["widget"] = {"name": entry.id}
                values += self._widget_values(entry, None if isinstance(value, Out) else value)
            if isinstance(value, Out):
                socket["link"] = self._link(value, number, len(sockets))
            sockets.append(socket)
        if given:
            raise ValueError(f"{kind} has no inputs {', '.join(given)}")
        outputs = [
            {"name": o.display_name or o.get_io_type(), "type": o.get_io_type(), "links": []} for o in schema.outputs
        ]
        node = {"type": kind, "inputs": sockets, "outputs": outputs, "widgets_values": values}
        texts = sum(bool(entry.as_dict().get("multiline")) for entry in schema.inputs)
        self._place(node, column, _height(node, texts), title)
        return [Out(number, slot, output.get_io_type()) for slot, output in enumerate(schema.outputs)]

    def note(self, column: int, text: str, height: int = 160) -> None:
        """Place a note."""
        node = {"type": "MarkdownNote", "inputs": [], "outputs": [], "widgets_values": [text]}
        self._place(node, column, height, "About")

    def start_row(self, *columns: int) -> None:
        """What is placed next in these columns starts at the same height."""
        top = max(self.bottoms.get(column, 0.0) for column in columns)
        self.bottoms |= dict.fromkeys(columns, top)

    def body(self, name: str) -> dict[str, Any]:
        """The workflow as JSON. The same name gives the same id."""
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"concept-atelier/{name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": self.nodes,
            "links": self.links,
            "groups": [],
            "config": {},
            "extra": {},
            "version": 0.4,
        }

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
        self.nodes[source.node - 1]["outputs"][source.slot]["links"].append(number)
        return number

    def _place(self, node: dict[str, Any], column: int, height: float, title: str | None) -> None:
        top = self.bottoms.get(column, 0.0)
        self.bottoms[column] = top + height + TITLE + GAP
        number = len(self.nodes) + 1
        node |= {"id": number, "pos": [column * COLUMN, top], "size": [COLUMN - 60, height], "flags": {}}
        node |= {"order": number - 1, "mode": 0, "properties": {"Node name for S&R": node["type"]}}
        self.nodes.append(node | ({"title": title} if title else {}))


def _height(node: dict[str, Any], texts: int) -> int:
    sockets = sum("widget" not in socket for socket in node["inputs"])
    rows = SLOT * max(sockets, len(node["outputs"])) + WIDGET * len(node["widgets_values"])
    return MARGIN + rows + MULTILINE * texts + SHOWN.get(node["type"], 0)
