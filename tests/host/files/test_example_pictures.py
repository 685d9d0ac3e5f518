"""The workflows' pictures in ComfyUI's input folder."""

import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

from concept_atelier.host.files.example_pictures import SHIPPED, offer_pictures
from concept_atelier.tools.workflow.captioned_pictures import COUNT as CAPTIONED_COUNT
from concept_atelier.tools.workflow.captioned_pictures import FOLDER_NAME as CAPTIONED
from concept_atelier.tools.workflow.folder_pictures import COUNT, FOLDER_NAME
from concept_atelier.tools.workflow.input_pictures import AGAIN, PICTURES
from concept_atelier.tools.workflow.lone_pictures import LONE
from concept_atelier.tools.workflow.object_pictures import OBJECTS, PROTOTYPES
from concept_atelier.tools.workflow.subject_pictures import COUNT as SUBJECT_COUNT
from concept_atelier.tools.workflow.subject_pictures import FOLDER_NAME as SUBJECT_FOLDER
from concept_atelier.tools.workflow.taste_pictures import COUNT as TASTE_COUNT
from concept_atelier.tools.workflow.taste_pictures import DISLIKED, LIKED
from concept_atelier.tools.workflow.training_pictures import COUNT as TRAINING_COUNT
from concept_atelier.tools.workflow.training_pictures import FOLDER_NAME as TRAINING


@pytest.fixture
def source(tmp_path):
    """Two pictures, and a file that is none."""
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("one.png", "two.png", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def input_folder(tmp_path, monkeypatch):
    """ComfyUI's, as the package asks for it."""
    target = tmp_path / "input"
    paths = ModuleType("folder_paths")
    paths.get_input_directory = paths.get_output_directory = paths.get_temp_directory = lambda: str(target)
    paths.get_folder_paths = lambda kind: [str(tmp_path / kind)]
    paths.models_dir = str(tmp_path)
    monkeypatch.setitem(sys.modules, "folder_paths", paths)
    monkeypatch.setitem(sys.modules, "comfy", ModuleType("comfy"))
    return target


def test_missing_pictures_are_copied(source, input_folder):
    offer_pictures(source)
    assert {path.name: path.read_bytes() for path in input_folder.iterdir()} == {
        "one.png": b"one.png",
        "two.png": b"two.png",
    }


def test_pictures_of_folders_are_copied_into_theirs(source, input_folder):
    (source / "set").mkdir()
    (source / "set/three.png").write_bytes(b"three")
    (source / "set/notes.txt").write_bytes(b"notes")
    offer_pictures(source)
    assert (input_folder / "set/three.png").read_bytes() == b"three"
    assert not (input_folder / "set/notes.txt").exists() and (input_folder / "one.png").exists()


def test_a_file_of_that_name_is_left_as_it_is(source, input_folder):
    input_folder.mkdir()
    (input_folder / "one.png").write_bytes(b"the user's own")
    offer_pictures(source)
    assert (input_folder / "one.png").read_bytes() == b"the user's own" and (input_folder / "two.png").exists()


def test_a_folder_that_cannot_be_written_is_reported_and_no_error(source, input_folder, caplog):
    input_folder.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        offer_pictures(source)
    assert [record.getMessage() for record in caplog.records if "copy it yourself" in record.getMessage()]


def test_nothing_is_copied_elsewhere(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    offer_pictures(source)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_those_that_ship_are_those_of_the_workflows():
    files = {path.relative_to(SHIPPED).as_posix() for path in Path(SHIPPED).rglob("*") if path.is_file()}
    prototypes = {f"{PROTOTYPES}/{name}.png" for name in OBJECTS}
    folder = {f"{FOLDER_NAME}/{number:02}.png" for number in range(1, COUNT + 1)}
    subject = {f"{SUBJECT_FOLDER}/{number:02}.png" for number in range(1, SUBJECT_COUNT + 1)}
    given = {"folder_new.png", "folder_masked.png", "subject_1.png", "subject_2.png", *LONE}
    taste = {f"{name}/{number:02}.png" for name in (LIKED, DISLIKED) for number in range(1, TASTE_COUNT + 1)}
    counts = {CAPTIONED: CAPTIONED_COUNT, TRAINING: TRAINING_COUNT}
    stems = [f"{name}/{number:02}" for name, count in counts.items() for number in range(1, count + 1)]
    captioned = {f"{stem}.{ending}" for stem in stems for ending in ("png", "txt")}
    assert files == {*PICTURES, AGAIN, *given, *prototypes, *folder, *subject, *taste, *captioned}


def test_captions_beside_pictures_of_folders_are_copied_and_other_texts_are_not(source, input_folder):
    below = source / "folder"
    below.mkdir()
    for name in ("a.png", "a.txt", "readme.txt"):
        (below / name).write_bytes(b"it")
    offer_pictures(source)
    assert sorted(path.name for path in (input_folder / "folder").iterdir()) == ["a.png", "a.txt"]
