"""Blueprints: as the builder writes them, in the front end's format, and doing what their nodes do one by one."""

import json

import pytest
import torch

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools import build_subgraphs, build_workflows

FOLDER = build_subgraphs.FOLDER
PICTURES = build_workflows.FOLDER / "input"

every_blueprint = pytest.mark.parametrize("name", build_subgraphs.BLUEPRINTS)


def data_of(name):
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def placed(data):
    """The blueprint in a workflow on the lab model, as dropping it on the canvas and wiring it gives."""
    holder = data["nodes"][0] | {"id": 3}
    sockets = {"image": (2, 0, "IMAGE"), "model": (1, 0, "MODEL"), "clip": (1, 1, "CLIP"), "vae": (1, 2, "VAE")}
    links = [[9, 3, 2, 4, 0, "IMAGE"]]
    for slot, entry in enumerate(holder["inputs"]):
        source, position, kind = sockets[entry["name"]]
        entry["link"] = slot + 1
        links.append([slot + 1, source, position, 3, slot, kind])
    nodes = [
        {"id": 1, "type": "ConceptAtelierLoadLabModel"},
        {"id": 2, "type": "LoadImage", "widgets_values": ["two_things.png", "image"]},
        holder,
        {"id": 4, "type": "SaveImage", "widgets_values": ["x"], "inputs": [{"name": "images", "type": "IMAGE"}]},
    ]
    nodes[3]["inputs"][0]["link"] = 9
    return data | {"nodes": nodes, "links": links}


def test_there_are_no_other_files():
    assert {path.stem for path in FOLDER.iterdir()} == set(build_subgraphs.BLUEPRINTS)


@every_blueprint
def test_the_file_is_what_the_builder_writes_today(name):
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert build_subgraphs.BLUEPRINTS[name]() == text, "run python -m concept_atelier.tools.build_subgraphs"


@every_blueprint
def test_it_is_one_node_whose_subgraph_is_in_the_file(name):
    data = data_of(name)
    (node,), (definition,) = data["nodes"], data["definitions"]["subgraphs"]
    assert node["type"] == definition["id"] and node["title"] == definition["name"] == name
    assert [entry["name"] for entry in node["inputs"]] == [port["name"] for port in definition["inputs"]]
    assert [entry["name"] for entry in node["outputs"]] == [port["name"] for port in definition["outputs"]]
    widgets = {(str(n["id"]), e["name"]) for n in definition["nodes"] for e in n["inputs"] if e.get("widget")}
    assert {tuple(entry) for entry in node["properties"]["proxyWidgets"]} <= widgets


@every_blueprint
def test_wires_inside_agree_at_both_ends(name):
    (definition,) = data_of(name)["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in definition["nodes"]}
    for link in definition["links"]:
        ends = []
        for node, slot, side, key in (
            (link["origin_id"], link["origin_slot"], "inputs", "links"),
            (link["target_id"], link["target_slot"], "outputs", "link"),
        ):
            if node < 0:
                ends.append(definition[side][slot])
                assert link["id"] in definition[side][slot]["linkIds"]
            else:
                end = nodes[node]["outputs" if key == "links" else "inputs"][slot]
                ends.append(end)
                assert link["id"] in (end[key] if key == "links" else [end[key]])
        assert {end["type"] for end in ends} == {link["type"]}


def test_sockets_of_take_picture_apart():
    (node,) = data_of("Take picture apart")["nodes"]
    assert {entry["name"]: entry["type"] for entry in node["inputs"]} == {
        "image": "IMAGE",
        "model": "MODEL",
        "clip": "CLIP",
        "vae": "VAE",
    }
    assert [entry["type"] for entry in node["outputs"]] == ["CONCEPTS", "MASK", "IMAGE"]


def test_placed_in_a_workflow_it_is_sound():
    with folders.use(folders.headless(FOLDER, (PICTURES,))):
        registry = Registry(HEADLESS_NODES)
        graph = check(load_workflow(placed(data_of("Take picture apart"))).graph(registry), registry)
    kinds = [node.class_type for node in graph.values()]
    assert "ConceptAtelierLocalizeConcepts" in kinds and "ConceptAtelierEditConcepts" in kinds


def test_it_finds_what_its_nodes_find(tmp_path):
    result = run_workflow(
        placed(data_of("Take picture apart")), {}, tmp_path / "one", input=PICTURES, nodes=HEADLESS_NODES
    )
    apart = {
        "1": {"class_type": "ConceptAtelierLoadLabModel", "inputs": {}},
        "2": {"class_type": "LoadImage", "inputs": {"image": "two_things.png"}},
        "3": {
            "class_type": "ConceptAtelierLocalizeConcepts",
            "inputs": {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], "image": ["2", 0]},
        },
    }
    with folders.use(folders.headless(tmp_path, (PICTURES,))):
        schema = Registry(HEADLESS_NODES).schema("ConceptAtelierLocalizeConcepts")
    widgets = {entry.id: entry.as_dict()["default"] for entry in schema.inputs if "default" in entry.as_dict()}
    apart["3"]["inputs"] |= widgets
    alone = run_workflow(apart, {}, tmp_path / "two", input=PICTURES, nodes=HEADLESS_NODES).output("3")
    found = result.output("ConceptAtelierLocalizeConcepts")
    assert found.names == alone.names and torch.equal(found.masks, alone.masks)
    assert result.files_of("4")
