"""Folders of concept pictures."""

import os

import pytest
import torch
from PIL import Image

from concept_atelier.host.files import folders
from concept_atelier.host.files.concept_folders import fingerprint, list_concepts, read_concept
from concept_atelier.host.files.names import BadNameError


@pytest.fixture
def here(tmp_path):
    """``set/cat.png`` (half of it clear), ``set/dog/1.png`` and ``2.jpg``, and what is no picture."""
    (tmp_path / "in/set/dog").mkdir(parents=True)
    cat = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    cat.paste((0, 0, 255, 0), (2, 0, 4, 2))
    cat.save(tmp_path / "in/set/cat.png")
    Image.new("RGB", (3, 3), "green").save(tmp_path / "in/set/dog/1.png")
    Image.new("RGB", (3, 3), "lime").save(tmp_path / "in/set/dog/2.jpg")
    (tmp_path / "in/set/notes.txt").write_text("no picture")
    (tmp_path / "in/empty/.hidden").mkdir(parents=True)
    return folders.headless(tmp_path / "out", (tmp_path / "nowhere", tmp_path / "in"))


def test_files_by_their_stem_and_folders_by_their_name(here):
    found = list_concepts(here, "set")
    assert [(picture.name, picture.path.name) for picture in found] == [
        ("cat", "cat.png"),
        ("dog", "1.png"),
        ("dog", "2.jpg"),
    ]


@pytest.mark.parametrize(("ground", "value"), [("white", 1.0), ("black", 0.0), ("grey", 0.5)])
def test_transparency_is_filled_with_the_ground(here, ground, value):
    picture = read_concept(list_concepts(here, "set")[0], ground)
    assert picture.shape == (1, 3, 2, 4)
    assert picture[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0] and picture[0, :, 0, 3].tolist() == [value] * 3


def test_colours_are_read_as_they_are(here):
    dog = read_concept(list_concepts(here, "set")[1], "white")
    assert torch.allclose(dog[0, :, 0, 0], torch.tensor([0.0, 128 / 255, 0.0]))


def test_the_fingerprint_follows_the_files(here, tmp_path):
    seen = [fingerprint(here, "set")]
    assert fingerprint(here, "set") == seen[0]
    (tmp_path / "in/set/cat.png").rename(tmp_path / "in/set/owl.png")
    seen.append(fingerprint(here, "set"))
    os.utime(tmp_path / "in/set/owl.png", (1, 1))
    seen.append(fingerprint(here, "set"))
    assert len(set(seen)) == 3


def test_what_is_no_folder_of_pictures(here):
    with pytest.raises(FileNotFoundError, match="no folder named 'sets'; looked in"):
        list_concepts(here, "sets")
    with pytest.raises(BadNameError, match="leave its folder"):
        list_concepts(here, "../in/set")
    with pytest.raises(ValueError, match="no pictures; put one per concept there"):
        list_concepts(here, "empty")


def test_a_file_that_is_no_picture_is_named(here, tmp_path):
    (tmp_path / "in/set/bad.png").write_text("no picture")
    bad = next(picture for picture in list_concepts(here, "set") if picture.name == "bad")
    with pytest.raises(ValueError, match="bad.png cannot be read as a picture"):
        read_concept(bad, "white")
