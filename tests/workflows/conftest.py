"""Workflows as files, and made small."""

import json
from dataclasses import replace

import pytest

from concept_atelier.core.learn.registry import METHODS
from concept_atelier.host.files import folders
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools.build_workflows import FOLDER

SMALL = {
    ("KSampler", "steps"): 1,
    ("EmptyLatentImage", "batch_size"): 1,
    ("EmptyLatentImage", "width"): 96,
    ("EmptyLatentImage", "height"): 64,
    ("ConceptAtelierLearnConceptTokens", "steps"): 2,
    ("ConceptAtelierLearnConceptTokens", "preview_every"): 0,
    ("ConceptAtelierScoreConcepts", "draws"): 1,
    ("ConceptAtelierLoadPictureFolder", "limit"): 6,
    ("ConceptAtelierFindIngredients", "count"): 2,
    ("ConceptAtelierFindIngredients", "method"): "kmeans",
    ("ConceptAtelierIngredientMasks", "ingredients"): "1, 2",
    ("ConceptAtelierIngredientMasks", "threshold"): 0.0,
    ("ConceptAtelierSteerIngredients", "ingredients"): "1",
    ("ConceptAtelierEditByWords", "steps"): 2,
    ("ConceptAtelierShowWordInformation", "draws"): 1,
    ("ConceptAtelierCompareWords", "levels"): 1,
    ("ConceptAtelierCompareWords", "draws"): 1,
    ("ConceptAtelierScoreConcepts", "steps"): 1,
    ("ConceptAtelierInvertPicture", "steps"): 2,
    ("ConceptAtelierAttackErasure", "scenarios"): "text",
    ("ConceptAtelierAttackErasure", "settings"): "draws=1, steps=1",
    ("ConceptAtelierErasureReport", "settings"): "draws=2, steps=1",
    ("ConceptAtelierTrainErasure", "steps"): 2,
    ("ConceptAtelierTrainErasure", "preview_every"): 0,
    ("ConceptAtelierTrainErasure", "settings"): "side=64, sampling_steps=2, batch=1",
    ("ConceptAtelierPurifyPicture", "steps"): 2,
    ("ConceptAtelierPurifyPicture", "settings"): "draws=1",
    ("ConceptAtelierGraftSkill", "settings"): "draws=1, steps=2",
    ("ConceptAtelierGraftSkill", "shares"): "5, 50",
    # Whatever the weights are worth, two concepts are found, so that the prompts have their tokens.
    ("ConceptAtelierLocalizeConcepts", "count"): 2,
    ("ConceptAtelierLocalizeConcepts", "saliency_threshold"): 0.0,
    ("ConceptAtelierLocalizeConcepts", "adjacency"): False,
}

SMALL_TOO = {
    "What did my LoRA change": {("EmptyLatentImage", "batch_size"): 2},
    "Masks of an ingredient in a new picture": {("ConceptAtelierIngredientMasks", "ingredients"): "1"},
}
"""What single workflows need beside, or instead."""


@pytest.fixture(scope="module", autouse=True)
def quick_learning():
    """Learning without what no widget shortens: the search for start words, and many pictures of its own."""
    quick = {"conceptexpress": {"start": "rare"}, "attencraft": {"prior": 2, "prior_steps": 2}}
    with pytest.MonkeyPatch.context() as patch:
        for name, changes in quick.items():
            patch.setitem(METHODS[name].presets, "small", replace(METHODS[name].preset("small"), **changes))
        yield


@pytest.fixture
def registry(tmp_path):
    with folders.use(folders.headless(tmp_path, (FOLDER / "input",))):
        yield Registry(HEADLESS_NODES)


@pytest.fixture(scope="session")
def overrides_of():
    """Overrides that make a workflow quick."""

    def go(name):
        graph = load_workflow(FOLDER / f"{name}.json").graph(Registry(HEADLESS_NODES))
        return {
            f"{key}.{entry}": value
            for key, node in graph.items()
            for (kind, entry), value in (SMALL | SMALL_TOO.get(name, {})).items()
            if node.class_type == kind
        }

    return go


@pytest.fixture(scope="session")
def data_of():
    """A workflow as its file has it."""
    return lambda name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def blocks_of():
    """The definitions of a workflow's subgraphs."""
    return lambda data: data.get("definitions", {}).get("subgraphs", [])


@pytest.fixture(scope="session")
def nodes_of(blocks_of):
    """All nodes, those inside of subgraphs too."""
    return lambda data: [*data["nodes"], *(node for block in blocks_of(data) for node in block["nodes"])]
