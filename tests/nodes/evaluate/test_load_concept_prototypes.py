"""Load Concept Prototypes."""

import pytest
import torch
from PIL import Image

from concept_atelier.host.shared import progress
from concept_atelier.nodes import LoadConceptPrototypes, LoadLabClipVision


@pytest.fixture(scope="module")
def vision(call):
    return call(LoadLabClipVision)[0]


@pytest.fixture
def folder(tmp_path):
    """Three pictures of two concepts."""
    (tmp_path / "in/set/dog").mkdir(parents=True)
    Image.linear_gradient("L").resize((40, 30)).save(tmp_path / "in/set/cat.png")
    for number, colour in enumerate(("red", "orange")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / f"in/set/dog/{number}.png")
    return tmp_path / "in/set"


def test_a_prototype_a_concept(call, vision, folder):
    result = call(LoadConceptPrototypes, clip_vision=vision, folder="set")
    made, names = result.args
    assert made.names == ("cat", "dog") and names == "cat\ndog"
    assert made.features.shape == (2, 192) and torch.allclose(made.features.norm(dim=1), torch.ones(2), atol=1e-5)
    assert result.ui.as_dict()["text"] == ("2 concepts of 3 pictures: cat, dog",)


def test_it_is_reported_and_can_be_cancelled(call, vision, folder):
    seen = []
    session = progress.Session(report=lambda step, total, preview: seen.append((step, total)))
    with progress.use(session):
        call(LoadConceptPrototypes, clip_vision=vision, folder="set")
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with progress.use(progress.Session(stop=True)), pytest.raises(progress.InterruptedRun):
        call(LoadConceptPrototypes, clip_vision=vision, folder="set")


def test_names_are_checked_before_a_run(folder):
    check = LoadConceptPrototypes.validate_inputs
    assert check(folder="set") is True and check(folder=None) is True
    assert "no folder named 'gone'" in check(folder="gone")
    assert "leave its folder" in check(folder="../in/set")


def test_a_new_picture_is_a_new_fingerprint(folder):
    before = LoadConceptPrototypes.fingerprint_inputs(folder="set")
    Image.new("RGB", (8, 8)).save(folder / "owl.png")
    assert LoadConceptPrototypes.fingerprint_inputs(folder="set") != before


def test_a_linked_folder_may_be_any_of_the_input(folder):
    before = LoadConceptPrototypes.fingerprint_inputs(folder=None)
    assert LoadConceptPrototypes.fingerprint_inputs(folder=None) == before
    Image.new("RGB", (8, 8)).save(folder.parent / "owl.png")
    assert LoadConceptPrototypes.fingerprint_inputs(folder=None) != before
