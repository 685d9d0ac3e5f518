import pytest
from PIL import Image

from concept_atelier.host.files.folders import headless
from concept_atelier.host.files.picture_folders import MAX_BYTES, list_pictures, read_squares


@pytest.fixture
def files(tmp_path):
    """Pictures of every kind that a folder may hold, and two files that only have the name of one."""
    Image.new("RGB", (300, 1), "red").save(tmp_path / "a_wide.png")
    Image.new("RGBA", (8, 40), (0, 255, 0, 0)).save(tmp_path / "b_clear.png")
    (tmp_path / "c_no_picture.png").write_bytes(b"not a picture")
    Image.new("I;16", (20, 20), 65535).save(tmp_path / "d_sixteen_bits.png")
    Image.new("P", (20, 20)).save(tmp_path / "e_palette.gif")
    (tmp_path / "f_cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    return sorted(tmp_path.iterdir())


def test_pictures_that_cannot_be_read_are_left_out_and_named(files):
    steps = []
    pictures, read, problems = read_squares(files, 32, "crop", lambda *step: steps.append(step))
    assert [path.name[0] for path in read] == ["a", "b", "d", "e"] and pictures.shape == (4, 32, 32, 3)
    assert pictures[0, 0, 0].tolist() == [1, 0, 0] and pictures[2].min() == 1
    assert pictures[1, 9, 9].tolist() == pytest.approx([0.5] * 3)
    assert [("c_no_picture" in one, "f_cut" in one) for one in problems] == [(True, False), (False, True)]
    assert steps[-1] == (6, 6)


def test_the_name_of_a_picture_is_that_picture_alone(files, tmp_path):
    given = headless(tmp_path / "out", (tmp_path,), tmp_path / "models")
    (tmp_path / "shots.png").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "shots.png" / "one.png")
    assert [path.name for path in list_pictures(given, "a_wide.png")] == ["a_wide.png"]
    assert [path.name for path in list_pictures(given, "shots.png")] == ["one.png"]
    with pytest.raises(FileNotFoundError):
        list_pictures(given, "missing.png")


def test_a_folder_of_no_readable_picture_is_refused(files):
    with pytest.raises(ValueError, match="c_no_picture.png cannot be read"):
        read_squares(files[2:3], 32, "pad", lambda *_: None)


def test_more_than_fits_is_refused_before_anything_is_read(files):
    count = MAX_BYTES // (2048 * 2048 * 12) + 1
    with pytest.raises(ValueError, match=f"{count} pictures of 2048 pixels a side need 16 GB.*lower size or limit"):
        read_squares(files[:1] * count, 2048, "crop", lambda *_: None)
