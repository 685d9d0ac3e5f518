"""Nodes that load a file of a model by its name."""

import os

import pytest

from concept_atelier.host.files import folders
from concept_atelier.nodes import NODES
from concept_atelier.nodes.model_files import LoadsModelFile

LOADERS = [node for node in NODES if issubclass(node, LoadsModelFile)]


@pytest.fixture
def here(tmp_path):
    with folders.use(folders.headless(tmp_path / "out", (tmp_path / "in",), tmp_path / "models")):
        yield tmp_path / "models"


@pytest.mark.parametrize("node", LOADERS, ids=lambda node: node.__name__)
def test_a_linked_name_may_be_any_file_of_the_kind(node, here):
    """What ComfyUI asks before it knows the name: the mark changes with the files, and with nothing else."""
    file = here / node.KIND / "one.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"1")
    before = node.fingerprint_inputs(name=None)
    assert node.fingerprint_inputs(name=None) == before == node.fingerprint_inputs()
    os.utime(file, ns=(0, 1))
    assert node.fingerprint_inputs(name=None) != before
    assert node.validate_inputs(name=None) is True
