"""Workflows that someone damaged or changed, and pictures of every kind."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.execution import NodeFailedError
from concept_atelier.host.workflow.graph import WorkflowError
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools.build_workflows import FOLDER


def without_link(data, nodes):
    """The workflow after someone pulled out the wire into Learn Concept Tokens' concepts."""
    node = next(n for n in data["nodes"] if n["type"] == "ConceptAtelierLearnConceptTokens")
    entry = next(e for e in node["inputs"] if e["name"] == "concepts")
    data["links"] = [link for link in data["links"] if link[0] != entry["link"]]
    entry["link"] = None


def with_unknown_node(data, nodes):
    next(n for n in nodes if n["type"] == "KSampler")["type"] = "KSamplers"


def with_bad_value(data, nodes):
    node = next(n for n in nodes if n["type"] == "KSampler")
    node["widgets_values"][2] = 0


def with_missing_picture(data, nodes):
    next(n for n in data["nodes"] if n["type"] == "LoadImage")["widgets_values"][0] = "gone.png"


def with_bad_prefix(data, nodes):
    node = next(n for n in data["nodes"] if n["type"] == "ConceptAtelierSaveConceptTokens")
    node["widgets_values"][0] = "../"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_link, '(ConceptAtelierLearnConceptTokens), input "concepts": expected CONCEPTS, got nothing'),
        (with_unknown_node, "unknown node class 'KSamplers'; did you mean KSampler?"),
        (with_bad_value, 'input "steps": expected at least 1, got 0'),
        (with_missing_picture, "no picture named 'gone.png'"),
        (with_bad_prefix, "prefix '../name' contains '..'"),
    ],
)
def test_a_damaged_workflow_is_refused_before_anything_runs(tmp_path, damage, message, nodes_of, data_of):
    data = data_of("Take a picture apart")
    damage(data, nodes_of(data))
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(data))
    with pytest.raises(WorkflowError) as caught:
        run_workflow(path, {}, tmp_path / "out", input=FOLDER / "input", nodes=HEADLESS_NODES)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_more_marks_than_tokens_name_the_node_and_keep_what_was_done(tmp_path, overrides_of):
    with folders.use(folders.headless(tmp_path, (FOLDER / "input",))):
        overrides = overrides_of("Take a picture apart")
    overrides["Prompt: first thing.text"] = "a photo of <7>"
    with pytest.raises(NodeFailedError, match="Prompt: first thing.*names <7>, but the tokens are: <1>, <2>"):
        run_workflow(FOLDER / "Take a picture apart.json", overrides, tmp_path, nodes=HEADLESS_NODES)
    left = sorted(path.name for path in Path(tmp_path).rglob("*.safetensors"))
    assert left == ["1.safetensors", "2.safetensors"]
    assert not list(tmp_path.rglob(".*"))


def test_a_bypassed_erasure_draws_what_the_stock_model_draws(tmp_path, nodes_of, data_of):
    data = data_of("Erase a concept")
    modes = {"ConceptAtelierEraseConcepts": 4, "ConceptAtelierSaveErasureAsLora": 2}
    for node in data["nodes"]:
        node["mode"] = modes.get(node["type"], node["mode"])
        if node["type"] == "SaveImage" and "cat" not in node["title"]:
            node["mode"] = 2
    path = tmp_path / "bypassed.json"
    for node in nodes_of(data):
        if node["type"] in ("KSampler", "EmptyLatentImage"):
            node["widgets_values"][2] = 2 if node["type"] == "KSampler" else 1
    path.write_text(json.dumps(data))
    result = run_workflow(path, {}, tmp_path / "out", nodes=HEADLESS_NODES)
    (before,), (after,) = (result.files_of(f"Save: cat {when}") for when in ("before", "after"))
    assert result.files == (before, after)
    with Image.open(before) as one, Image.open(after) as two:
        assert one.tobytes() == two.tobytes()


@pytest.fixture(scope="module")
def cache():
    """Keeps the lab model from one run to the next."""
    return {}


def kinds_of_pictures():
    grey = Image.linear_gradient("L").resize((48, 40))
    clear = grey.convert("RGBA")
    clear.putalpha(grey)
    return {
        "L": grey,
        "RGBA": clear,
        "P": grey.convert("P"),
        "1": grey.convert("1"),
        "I;16": Image.fromarray((np.arange(1600).reshape(40, 40) * 40).astype(np.uint16)),
    }


@pytest.mark.parametrize("mode", kinds_of_pictures())
def test_picture_files_of_every_kind_are_taken_apart(tmp_path, cache, mode):
    kinds_of_pictures()[mode].save(tmp_path / "it.png")
    result = run_workflow(localizing("it.png"), {}, tmp_path / "out", input=tmp_path, cache=cache, nodes=HEADLESS_NODES)
    found = result.output("ConceptAtelierLocalizeConcepts")
    assert len(found) >= 1 and found.picture_size == kinds_of_pictures()[mode].size[::-1]


def test_a_picture_of_one_pixel_names_the_node_and_leaves_nothing(tmp_path, cache):
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(NodeFailedError, match="ConceptAtelierLocalizeConcepts.* failed: .*at least 8"):
        run_workflow(localizing("dot.png"), {}, tmp_path / "out", input=tmp_path, cache=cache, nodes=HEADLESS_NODES)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_text_file_is_no_picture(tmp_path, cache):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(NodeFailedError, match="notes.png cannot be read as a picture"):
        run_workflow(localizing("notes.png"), {}, tmp_path / "out", input=tmp_path, cache=cache, nodes=HEADLESS_NODES)


def localizing(picture):
    """An API workflow that localises a picture file."""
    sockets = {name: ["1", slot] for slot, name in enumerate(("model", "clip", "vae"))}
    chosen = {"preset": "paper", "min_clusters": 4, "saliency_threshold": 1.0, "merge_threshold": 1.0, "seed": 0}
    chosen |= {"outline": "smooth", "neighbour_reach": 0.0}
    chosen |= {"adjacency": True, "count": 0, "max_concepts": 0}
    return {
        "1": {"class_type": "ConceptAtelierLoadLabModel", "inputs": {}},
        "2": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "3": {"class_type": "ConceptAtelierLocalizeConcepts", "inputs": {**sockets, "image": ["2", 0], **chosen}},
    }
