"""Write ``subgraphs/*.json``, blueprints that ComfyUI offers among its nodes (developers; run after a node changes).

    python -m concept_atelier.tools.build_subgraphs

A blueprint is a workflow of one node, whose type is the id of the subgraph that the same file defines. The front end
calls it by its file's name.
"""

import json
from pathlib import Path

from .workflow.block import Block
from .workflow.foreign import drawing_registry
from .workflow.sizes import WIDTHS, Parts

FOLDER = Path(__file__).parents[1] / "subgraphs"


def blueprint(inside: Block, description: str, aliases: list[str]) -> str:
    """A blueprint file's text: one node that holds the subgraph."""
    parts = Parts(max(len(inside.inputs), len(inside.outputs)), rows=len(inside.widgets), has_footer=True)
    node = {
        "id": 1,
        "type": inside.id,
        "pos": [0, 0],
        "size": [WIDTHS["ConceptAtelierLocalizeConcepts"], parts.height],
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
        "id": inside.id_of("blueprint"),
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
    inside = Block(drawing_registry(), name="Take picture apart")
    kinds = {"image": "IMAGE", "model": "MODEL", "clip": "CLIP", "vae": "VAE"}
    wires = {name: inside.enter(name, kind) for name, kind in kinds.items()}
    found, _, overlay, _ = inside.add("ConceptAtelierLocalizeConcepts", 0, **wires)
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


if __name__ == "__main__":
    main()
