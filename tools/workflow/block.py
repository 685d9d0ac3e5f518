"""Subgraphs: the canvas inside, with inputs and outputs of its own."""

import uuid
from dataclasses import dataclass, field
from typing import Any

from .layout import GAP, TITLE, arrange
from .sheet import Out, Sheet

CATEGORY = "Concept Atelier"
ENTRANCE, EXIT = -10, -20
"""The nodes that stand for a subgraph's own inputs and outputs, inside it."""
PORT = 20


@dataclass(eq=False)
class Block(Sheet):
    """The canvas of a subgraph."""

    name: str = ""
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    widgets: list[tuple[int, str]] = field(default_factory=list)

    def enter(self, name: str, kind: str) -> Out:
        """A new input of the subgraph."""
        self.inputs.append(self._port("input", name, kind, [], len(self.inputs)))
        return Out(ENTRANCE, len(self.inputs) - 1, kind)

    def leave(self, name: str, source: Out) -> None:
        """A new output of the subgraph."""
        slot = len(self.outputs)
        link = self._link(source, EXIT, slot)
        self.outputs.append(self._port("output", name, source.type, [link], slot))

    def promote(self, node: Out, *names: str) -> None:
        """Show these widgets of a node on the subgraph's own node."""
        self.widgets += [(node.node, name) for name in names]

    def definition(self) -> dict[str, Any]:
        """The subgraph as JSON."""
        inside = [link for link in self.links if link[1] > 0 and link[3] > 0]
        drawn = arrange(self.steps, inside)
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        parents = {end["id"]: {"parentId": end["parentId"]} for end in drawn.ends}
        right = max(node["pos"][0] + node["size"][0] for node in self.nodes)
        return {
            "id": self.id,
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": self.next_id - 1,
                "lastLinkId": len(self.links),
                "lastRerouteId": len(drawn.reroutes),
            },
            "revision": 0,
            "config": {},
            "name": self.name,
            "inputNode": {"id": ENTRANCE, "bounding": _box(-160 - GAP, len(self.inputs))},
            "outputNode": {"id": EXIT, "bounding": _box(right + GAP, len(self.outputs))},
            "inputs": self.inputs,
            "outputs": self.outputs,
            "widgets": [],
            "nodes": self.nodes,
            "groups": [],
            "links": [dict(zip(keys, link, strict=True)) | parents.get(link[0], {}) for link in self.links],
            "extra": {},
            "category": CATEGORY,
        } | ({"reroutes": drawn.reroutes} if drawn.reroutes else {})

    @property
    def id(self) -> str:
        return self.id_of("subgraph")

    def id_of(self, part: str) -> str:
        """The same for the same name and part."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"concept-atelier/subgraphs/{self.name}/{part}"))

    def _port(self, side: str, name: str, kind: str, links: list[int], slot: int) -> dict[str, Any]:
        port = {"id": self.id_of(f"{side}/{name}"), "name": name, "type": kind, "linkIds": links}
        return port | {"localized_name": name, "pos": [0, PORT * slot]}

    def _link(self, source: Out, target: int, slot: int) -> int:
        if source.node != ENTRANCE:
            return super()._link(source, target, slot)
        number = len(self.links) + 1
        self.links.append([number, source.node, source.slot, target, slot, source.type])
        self.inputs[source.slot]["linkIds"].append(number)
        return number


def _box(left: float, ports: int) -> list[float]:
    return [left, 0, 160, TITLE + PORT * (ports + 1)]
