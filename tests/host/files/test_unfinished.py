"""States of cancelled trainings in files."""

import os

import pytest
import torch

from concept_atelier.host.files import folders
from concept_atelier.host.files.unfinished import MAX_ABANDONED, UnfinishedFiles, unfinished

STATE = {"phase": torch.tensor(1), "losses": torch.tensor([0.5, 0.25]), "generator": torch.arange(8, dtype=torch.uint8)}


@pytest.fixture
def files(tmp_path):
    return UnfinishedFiles(tmp_path / "unfinished", 5)


def test_a_state_comes_back_as_it_was_and_goes_when_it_is_discarded(files):
    assert files.load("a") is None
    files.save("a", STATE)
    files.save("b", {**STATE, "phase": torch.tensor(0)})
    found = files.load("a")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) and found[name].dtype == STATE[name].dtype for name in STATE)
    files.discard("a")
    files.discard("a")
    assert files.load("a") is None and int(files.load("b")["phase"]) == 0
    files.discard("b")
    assert not files.folder.exists()


def test_a_damaged_state_is_not_taken_up_but_set_aside(files, caplog):
    files.save("a", STATE)
    path = files.folder / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    assert files.load("a") is None and files.load("a") is None
    assert [p.name for p in files.folder.iterdir()] == ["a.safetensors.bad"]
    (record,) = caplog.records
    assert "the training starts anew" in record.getMessage() and "a.safetensors.bad" in record.getMessage()


def test_states_that_were_set_aside_do_not_pile_up(files):
    for number in range(MAX_ABANDONED + 3):
        files.save(str(number), STATE)
        files.set_aside(str(number), "for a reason")
        os.utime(files.folder / f"{number}.safetensors.bad", (number, number))
    files.save("last", STATE)
    files.set_aside("last", "for a reason")
    left = {path.name for path in files.folder.iterdir()}
    assert len(left) == MAX_ABANDONED and "last.safetensors.bad" in left


def test_only_the_newest_states_stay(files):
    for number in range(MAX_ABANDONED + 3):
        files.save(str(number), STATE)
        os.utime(files.folder / f"{number}.safetensors", (number, number))
    files.save("last", STATE)
    assert len(list(files.folder.iterdir())) == MAX_ABANDONED
    assert files.load("0") is None and files.load("last") is not None


def test_states_lie_below_the_output_folder_unless_none_are_wanted(tmp_path):
    assert unfinished(0) is None
    with folders.use(folders.headless(tmp_path)):
        found = unfinished(7)
    assert found.every == 7 and found.folder.parent == tmp_path
