"""Workflows that were saved before presets were renamed run as they are."""

import json

import pytest

from concept_atelier.core.settings import OLD_PRESETS
from concept_atelier.host.workflow.examples import WORKFLOWS
from concept_atelier.host.workflow.graph import WorkflowError
from concept_atelier.host.workflow.runner import check_workflow
from concept_atelier.nodes import NODES
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.nodes.sockets import OLD_CHOICES
from concept_atelier.tools.same_results import all_nodes

WITH_PRESETS = [node for node in NODES if any(entry.id == "preset" for entry in node.GET_SCHEMA().inputs)]


def check(workflow, tmp_path):
    return check_workflow(workflow, out=tmp_path, input=WORKFLOWS / "input", nodes=HEADLESS_NODES)


def preset_of(node):
    return next(entry for entry in node.GET_SCHEMA().inputs if entry.id == "preset")


@pytest.mark.parametrize("node", WITH_PRESETS, ids=lambda node: node.__name__)
def test_the_small_preset_has_one_name_and_its_old_ones_pass(node):
    entry = preset_of(node)
    assert entry.default == "small" and "small" in entry.options and not {*entry.options} & {*OLD_PRESETS}
    renamed = entry.as_dict()[OLD_CHOICES]
    assert {"lab", "small_grid", "small_model"} <= set(renamed) and set(renamed.values()) <= set(entry.options)
    assert all(node.validate_inputs(preset=name) is True for name in (*renamed, *entry.options, None))
    said = node.validate_inputs(preset="smal")
    assert said.startswith("preset: expected one of ") and said.endswith("got 'smal'")


def test_an_api_file_with_old_names_is_taken(tmp_path):
    graph = all_nodes()
    saved = {entry["inputs"].get("preset") for entry in graph.values()}
    assert {*OLD_PRESETS} <= saved
    check(graph, tmp_path)


def test_a_drawn_workflow_with_old_names_is_taken(tmp_path):
    drawn = json.loads((WORKFLOWS / "Take a picture apart.json").read_text(encoding="utf-8"))
    old = {"ConceptAtelierLocalizeConcepts": "small_grid", "ConceptAtelierLearnConceptTokens": "lab"}
    changed = 0
    for node in drawn["nodes"]:
        if node["type"] in old:
            values = node["widgets_values"]
            assert values.count("small") == 1
            values[values.index("small")] = old[node["type"]]
            changed += 1
    assert changed == 2
    check(drawn, tmp_path)


def test_a_preset_that_never_was_is_refused(tmp_path):
    graph = all_nodes()
    graph["localize two"]["inputs"]["preset"] = "tiny"
    with pytest.raises(WorkflowError, match="preset: expected one of paper, small"):
        check(graph, tmp_path)
