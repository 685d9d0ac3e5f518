"""Nodes that write or read one model file do so alike."""

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.nodes import NODES
from concept_atelier.nodes.model_files import LoadsModelFile, SavesModelFile

LOADERS = [node for node in NODES if issubclass(node, LoadsModelFile)]
SAVERS = [node for node in NODES if issubclass(node, SavesModelFile)]


def test_they_are_known():
    assert {"LoadConceptHead", "LoadErasure", "LoadIngredients", "LoadSkillPatch"} <= {one.__name__ for one in LOADERS}
    assert {"SaveConceptHead", "SaveErasureAsLora", "SaveAdapterAsLora"} <= {one.__name__ for one in SAVERS}


@pytest.mark.parametrize("node", [*LOADERS, *SAVERS])
def test_the_file_is_named_by_an_input(node, here):
    names = [entry for entry in node.GET_SCHEMA().inputs if entry.id == "name"]
    assert len(names) == 1 and names[0].as_dict()["default"].startswith("atelier/")
    assert node.KIND in here.models


@pytest.mark.parametrize("node", LOADERS)
def test_loading_follows_the_file_and_says_which_there_are(node, here):
    path = here.model_target(node.KIND, "set/one")
    save_tensors(path, {"x": torch.zeros(1)})
    mark = node.fingerprint_inputs("set/one")
    assert node.path_of("set/one") == node.path_of("set/one.safetensors") == path
    assert mark == node.fingerprint_inputs(name="set/one.safetensors", strength=1.0)
    save_tensors(path, {"x": torch.ones(1)})
    assert mark != node.fingerprint_inputs("set/one")
    with pytest.raises(FileNotFoundError, match="no file in .*two.*set/one"):
        node.path_of("two")
    assert node.validate_inputs(None) is True


@pytest.mark.parametrize("node", SAVERS)
def test_saving_takes_names_that_stay_in_the_folder(node, here):
    assert node.validate_inputs("a/b") is True and node.validate_inputs(None) is True
    assert isinstance(node.validate_inputs("../up"), str)
    saved = node.write("a/b", ({"x": torch.zeros(1)}, {}))
    assert saved.path == here.model_target(node.KIND, "a/b") and saved.path.exists()
