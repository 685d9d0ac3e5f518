"""Workflows with parts changed at random run, or are refused naming the fault: never any other error."""

import copy
import json
import random

import pytest
from PIL import Image

from concept_atelier.host.workflow.execution import NodeFailedError
from concept_atelier.host.workflow.graph import WorkflowError
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.host.workflow.stock import STOCK_NODES

IMAGE = {"name": "IMAGE", "type": "IMAGE"}
API = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "teal.png"}},
    "2": {
        "class_type": "ImageScale",
        "inputs": {"image": ["1", 0], "width": 8, "height": 0, "upscale_method": "area", "crop": "disabled"},
        "_meta": {"title": "Smaller"},
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x/%year%"}},
}
INSIDE = {
    "id": "smaller",
    "name": "Smaller",
    "inputs": [{"name": "i", "type": "IMAGE"}, {"name": "width", "type": "INT"}],
    "outputs": [{"name": "o", "type": "IMAGE"}],
    "nodes": [
        {
            "id": 1,
            "type": "ImageScale",
            "inputs": [IMAGE | {"name": "image", "link": 1}, {"name": "width", "type": "INT", "widget": {}, "link": 2}],
            "outputs": [IMAGE],
            "widgets_values": ["area", 8, 0, "disabled"],
        }
    ],
    "links": [
        {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
        {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 1, "target_slot": 1},
        {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
    ],
}
UI = {
    "nodes": [
        {"id": 1, "type": "LoadImage", "outputs": [IMAGE], "widgets_values": ["teal.png", "image"]},
        {"id": 2, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": 1}], "outputs": [IMAGE]},
        {"id": 3, "type": "SetNode", "inputs": [IMAGE | {"link": 2}], "widgets_values": ["a"]},
        {"id": 4, "type": "GetNode", "outputs": [IMAGE], "widgets_values": ["a"]},
        {
            "id": 5,
            "type": "smaller",
            "inputs": [{"name": "i", "type": "IMAGE", "link": 3}, {"name": "width", "type": "INT", "widget": {}}],
            "outputs": [{"name": "o", "type": "IMAGE"}],
            "widgets_values": [8],
            "properties": {"proxyWidgets": [["-1", "width"]]},
        },
        {"id": 6, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 4}]},
        {"id": 7, "type": "Note", "widgets_values": ["{a|b}"]},
    ],
    "links": [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [3, 4, 0, 5, 0, "*"], [4, 5, 0, 6, 0, "*"]],
    "definitions": {"subgraphs": [INSIDE]},
}
ODD = [None, True, -1, 0, 2, -10, "-20", 10**300, float("nan"), 1.5, "", "x" * 50_000, "\x1b[2J\0", "\ud800", [], {}]
ODD += [["1", 0], [False, 0], [["1", 0]], {"a": [1]}, "Reroute", "GetNode", "{a|b}" * 500, "%date:" * 500, "(a:1e999)"]


def places(value, here=()):
    yield here
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*here, key))


def changed(workflow, rng):
    """The workflow with one to three entries replaced, taken out or put elsewhere."""
    workflow = copy.deepcopy(workflow)
    for _ in range(rng.choice([1, 1, 2, 3])):
        *above, key = rng.choice([place for place in places(workflow) if place])
        holder = workflow
        for step in above:
            holder = holder[step]
        what = rng.random()
        if what < 0.7:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif what < 0.85:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(workflow)
    return workflow


@pytest.mark.parametrize("workflow", [API, UI], ids=["api", "ui"])
def test_changed_workflows_run_or_are_refused(workflow, tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (16, 8), "teal").save(tmp_path / "in/teal.png")
    registry, path = Registry(STOCK_NODES), tmp_path / "w.json"

    def run(given):
        path.write_bytes(json.dumps(given).encode("utf-8", "surrogatepass"))
        return run_workflow(path, None, tmp_path / "out", input=tmp_path / "in", nodes=registry.values())

    assert len(run(workflow).files) == 1
    ran = 0
    for seed in range(250):
        try:
            ran += bool(run(changed(workflow, random.Random(seed))).graph)
        except (WorkflowError, NodeFailedError) as error:
            assert isinstance(error.__cause__, ValueError | OSError | None)
            lines = str(error).splitlines()
            assert len(lines) <= 22 and len(str(error)) < 50_000 and all(line.isprintable() for line in lines)
    assert ran > 10
    assert not [found for found in tmp_path.rglob("*") if found.is_file() and found.parts[-2] == tmp_path.name][1:]
