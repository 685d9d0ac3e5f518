import pytest
from PIL import Image

from concept_atelier.host.files import caption_files
from concept_atelier.host.files.caption_files import plan, text_file_of, text_files, write
from concept_atelier.host.files.folders import headless, record_written
from concept_atelier.host.files.names import BadNameError

NAMES = ["a.png", "b.v2.jpeg", "c.png", "d.png"]
STEMS = ["a.txt", "b.v2.txt", "c.txt", "d.txt"]
CAPTIONS = ["a cat", "a dog", "", "a fish"]


@pytest.fixture
def given(tmp_path):
    """Folders with three of four pictures captioned: one alike but for its line break, one otherwise, one empty."""
    pictures = tmp_path / "in" / "set"
    pictures.mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", (8, 8)).save(pictures / name)
    (pictures / "a.txt").write_text("a\ncat", encoding="utf-8-sig")
    (pictures / "b.v2.txt").write_text("a wolf")
    return headless(tmp_path / "out", (tmp_path / "in",), tmp_path / "models")


def files_of(given):
    return {path.name: path.read_text() for path in (given.input[0] / "set").iterdir() if ".txt" in path.name}


def beside(given, rule, captions=CAPTIONS):
    return plan(text_files(given, "beside the pictures", "set", NAMES), NAMES, captions, rule)


def test_a_text_file_has_the_name_of_its_picture(tmp_path):
    assert [text_file_of(tmp_path / name).name for name in NAMES] == STEMS
    assert text_file_of(tmp_path / "e.v3").name == "e.v3.txt"  # no ending of a picture is taken away


def test_captions_are_written_whole_and_read_back_the_same(given):
    with record_written() as noted:
        done = write(plan(text_files(given, "output folder", "x/y", NAMES), NAMES, CAPTIONS, "stop"))
    assert [one.state for one in done] == ["new", "new", "empty", "new"]
    paths = [given.output / "x/y" / stem for stem in STEMS]
    assert noted == [path for path in paths if path.exists()] == [one.path for one in done if one.is_written]
    assert sorted((given.output / "x/y").iterdir()) == noted
    again = plan(paths, NAMES, CAPTIONS, "stop")
    assert [one.state for one in again] == ["unchanged", "unchanged", "empty", "unchanged"]


def test_other_captions_are_not_overwritten_unasked(given):
    before = files_of(given)
    with pytest.raises(ValueError, match=r"1 text file has another caption.*b.v2.txt in .*nothing was written"):
        beside(given, "stop")
    done = write(beside(given, "keep"))
    assert [one.state for one in done] == ["unchanged", "kept", "empty", "new"]
    assert files_of(given) == before | {"d.txt": "a fish\n"}


def test_every_former_file_is_kept(given):
    before = files_of(given)
    done = write(beside(given, "replace"))
    assert [one.state for one in done] == ["unchanged", "replaced", "empty", "new"]
    assert done[1].backup.name == "b.v2.txt.bak" and done[1].before == "a wolf"
    after = before | {"b.v2.txt": "a dog\n", "b.v2.txt.bak": "a wolf", "d.txt": "a fish\n"}
    assert files_of(given) == after
    write(beside(given, "replace", ["a cat", "a fox", "", ""]))
    later = {"b.v2.txt": "a fox\n", "b.v2.txt.bak2": "a dog\n", "d.txt": "\n", "d.txt.bak": "a fish\n"}
    assert files_of(given) == after | later


def test_a_write_that_fails_leaves_the_former_file(given, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="b.v2.txt cannot be written: No space left"):
        write(beside(given, "replace"))
    assert files_of(given)["b.v2.txt"] == "a wolf"
    assert not [path for path in (given.input[0] / "set").iterdir() if path.name.startswith(".")]


def test_a_file_that_appears_meanwhile_is_left(given):
    planned = beside(given, "replace")
    planned[3].path.write_text("by hand")
    with pytest.raises(FileExistsError, match="d.txt was written by another program meanwhile"):
        write(planned)
    assert planned[3].path.read_text() == "by hand"


@pytest.mark.parametrize("place", caption_files.PLACES)
@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", ""])
def test_no_name_leaves_its_folder(given, place, name):
    with pytest.raises(BadNameError):
        text_files(given, place, "set", [name])
    with pytest.raises(BadNameError):
        text_files(given, place, name, ["a.png"])


def test_pictures_must_lie_beside_their_captions(given):
    with pytest.raises(FileNotFoundError, match="set has no gone.png; name the folder"):
        text_files(given, "beside the pictures", "set", ["a.png", "gone.png"])
    with pytest.raises(FileNotFoundError, match="no folder named 'other'"):
        text_files(given, "beside the pictures", "other", ["a.png"])


def test_pictures_that_share_a_text_file_must_agree(tmp_path):
    paths, names = [tmp_path / "a.txt"] * 2, ["a.png", "a.jpg"]
    assert [one.state for one in plan(paths, names, ["x", "x"], "stop")] == ["new", "unchanged"]
    with pytest.raises(ValueError, match="'a.png' and 'a.jpg' share the text file a.txt"):
        plan(paths, names, ["x", "y"], "replace")


def test_letters_that_were_lost_are_not_written(given):
    (given.input[0] / "set" / "b.v2.txt").write_bytes("caf\xe9".encode("latin-1"))
    read = caption_files.read_caption(given.input[0] / "set" / "b.v2.txt")
    assert beside(given, "replace", ["a cat", read, "", ""])[1].state == "unchanged"
    with pytest.raises(ValueError, match="'b.v2.jpeg' has letters that were lost.*UTF-8"):
        beside(given, "replace", ["a cat", f"{read}, table", "", ""])
