"""An embedding that does not exist is reported before anything runs, by the node and the input that name it."""

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.host.files import folders
from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.graph import WorkflowError, read_api
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.nodes.headless import HEADLESS_NODES

LOAD = {"class_type": "ConceptAtelierLoadLabModel", "inputs": {}}


@pytest.fixture
def checked(tmp_path):
    """Checks a graph in which nodes of one class are given these inputs and shown."""

    def run(kind="CLIPTextEncode", more=None, **inputs):
        node = {"class_type": kind, "inputs": {"clip": ["1", 1], **inputs}, "_meta": {"title": "Prompt"}}
        show = {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}}
        with folders.use(folders.headless(tmp_path)):
            save_tensors(folders.current().model_target("embeddings", "pet"), {"emb_params": torch.zeros(1, 4)}, {})
            graph = {"1": LOAD, "2": node, "3": show, **(more or {})}
            return check(read_api(graph), Registry(HEADLESS_NODES))

    return run


@pytest.mark.parametrize("text", ["a photo of embedding:pet", "(embedding:pet:1.2), embedding:pet, blue", ""])
def test_texts_that_name_what_is_there_pass(checked, text):
    assert checked(text=text)["2"].inputs["text"] == text


def test_each_missing_one_is_named_once_with_its_node(checked):
    with pytest.raises(WorkflowError) as caught:
        checked(text="embedding:pat and embedding:pat and embedding:pot")
    first, second = caught.value.problems
    assert first.startswith('node 2 "Prompt" (CLIPTextEncode), input "text": no embedding named \'pat\'; looked in ')
    assert first.endswith("; there are pet") and "'pot'" in second


def test_what_a_run_writes_itself_is_not_missing(checked):
    tokens = {"class_type": "ConceptAtelierLoadConceptTokens", "inputs": {"clip": ["1", 1], "names": "pet"}}
    save = {"class_type": "ConceptAtelierSaveConceptTokens", "inputs": {"tokens": ["4", 0], "prefix": "atelier"}}
    checked(text="embedding:pat", more={"4": tokens, "5": save})


def defaults(kind):
    """The values of the widgets of a node as the page first shows them."""
    inputs = Registry(HEADLESS_NODES).schema(kind).inputs
    return {entry.id: entry.default for entry in inputs if getattr(entry, "default", None) is not None}


@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("EraseConcepts", {"model": ["1", 0], "concepts": " ,\n"}, "concepts is empty; name at least one"),
        ("SuggestRelatedWords", {"words": ""}, "words is empty; name at least one"),
    ],
)
def test_lists_that_are_empty_are_refused_before_a_run(checked, kind, inputs, said):
    with pytest.raises(WorkflowError, match=said):
        checked(f"ConceptAtelier{kind}", **{**defaults(f"ConceptAtelier{kind}"), **inputs})
