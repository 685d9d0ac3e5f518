"""Write ``subgraphs/*.json``, blueprints that ComfyUI offers among its nodes (developers; run after a node changes).

    python -m concept_atelier.lab.build_subgraphs

A blueprint is a workflow of one node, whose type is the id of the subgraph that the same file defines. The front end
calls it by its file's name.
"""

import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .foreign import drawing_registry
from .sheet import COLUMN, GAP, TITLE, Out, Sheet

FOLDER = Path(__file__).parents[1] / "subgraphs"
CATEGORY = "Concept Atelier"
ENTRANCE, EXIT = -10, -20
"""The nodes that stand for a subgraph's own inputs and outputs, inside it."""
PORT = 20


@dataclass
class Inside(Sheet):
    """The canvas of a subgraph, with inputs and outputs of its own."""

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
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        right = max(node["pos"][0] + node["size"][0] for node in self.nodes)
        return {
            "id": self.id,
            "version": 1,
            "state": {
                "lastGroupId": 0,
                "lastNodeId": len(self.nodes),
                "lastLinkId": len(self.links),
                "lastRerouteId": 0,
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
            "links": [dict(zip(keys, link, strict=True)) for link in self.links],
            "extra": {},
            "category": CATEGORY,
        }

    @property
    def id(self) -> str:
        return self._id_of("subgraph")

    def _id_of(self, part: str) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"concept-atelier/subgraphs/{self.name}/{part}"))

    def _port(self, side: str, name: str, kind: str, links: list[int], slot: int) -> dict[str, Any]:
        port = {"id": self._id_of(f"{side}/{name}"), "name": name, "type": kind, "linkIds": links}
        return port | {"localized_name": name, "pos": [0, PORT * slot]}

    def _link(self, source: Out, target: int, slot: int) -> int:
        if source.node != ENTRANCE:
            return super()._link(source, target, slot)
        number = len(self.links) + 1
        self.links.append([number, source.node, source.slot, target, slot, source.type])
        self.inputs[source.slot]["linkIds"].append(number)
        return number


def blueprint(inside: Inside, description: str, aliases: list[str]) -> str:
    """A blueprint file's text: one node that holds the subgraph."""
    rows = max(len(inside.inputs), len(inside.outputs)) + len(inside.widgets)
    node = {
        "id": 1,
        "type": inside.id,
        "pos": [0, 0],
        "size": [COLUMN - 60, TITLE + 24 * rows],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{"name": port["name"], "type": port["type"], "link": None} for port in inside.inputs],
        "outputs": [{"name": port["name"], "type": port["type"], "links": []} for port in inside.outputs],
        "title": inside.name,
        "properties": {"proxyWidgets": [[str(number), name] for number, name in inside.widgets]},
        "widgets_values": [],
    }
    body = {
        "id": inside._id_of("blueprint"),
        "revision": 0,
        "last_node_id": 1,
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "groups": [],
        "config": {},
        "extra": {"BlueprintDescription": description, "BlueprintSearchAliases": aliases},
        "version": 0.4,
        "definitions": {"subgraphs": [inside.definition()]},
    }
    return json.dumps(body, indent=1) + "\n"


def take_picture_apart() -> str:
    """Localize and edit, as one node."""
    inside = Inside(drawing_registry(), name="Take picture apart")
    kinds = {"image": "IMAGE", "model": "MODEL", "clip": "CLIP", "vae": "VAE"}
    wires = {name: inside.enter(name, kind) for name, kind in kinds.items()}
    found, _, overlay = inside.add("ConceptAtelierLocalizeConcepts", 0, **wires)
    concepts, masks = inside.add("ConceptAtelierEditConcepts", 1, concepts=found, image=wires["image"])
    inside.leave("concepts", concepts)
    inside.leave("masks", masks)
    inside.leave("overlay", overlay)
    inside.promote(found, "preset", "count", "saliency_threshold", "merge_threshold", "seed")
    inside.promote(concepts, "keep", "drop", "merge", "rename")
    return blueprint(
        inside,
        "Finds the concepts of a picture, and keeps, drops, merges and renames them. The overlay shows them as found.",
        ["decompose", "segment", "concepts", "masks"],
    )


BLUEPRINTS = {"Take picture apart": take_picture_apart}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, build in BLUEPRINTS.items():
        (FOLDER / f"{name}.json").write_text(build(), encoding="utf-8")


def _box(left: float, ports: int) -> list[float]:
    return [left, 0, 160, TITLE + PORT * (ports + 1)]


if __name__ == "__main__":
    main()
