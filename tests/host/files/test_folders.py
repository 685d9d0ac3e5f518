"""Names that become files, files that are whole or not there, and which folders are in force."""

import errno
import json
import sys
from datetime import date
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from PIL import Image

from concept_atelier.core.files import save_tensors
from concept_atelier.host.files import folders, names
from concept_atelier.host.files.folders import BadNameError, atomic_write, inside, record_written, safe_name
from concept_atelier.host.files.images import from_pil, save_batch, to_pil
from concept_atelier.host.files.names import distinct, made_safe, prompt_name
from concept_atelier.host.files.saving import save_json


@pytest.mark.parametrize("name", ["apple", "a/b/c.png", "a\\b", "äpfel und birnen", "v1.2", ".hidden", "con_text"])
def test_good_names(name):
    assert safe_name(name).as_posix() == name.replace("\\", "/")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "..\\x",
        "C:\\x",
        "C:x",
        "\\\\server\\share",
        "a\0b",
        "a\nb",
        ".",
        "..",
        "a/",
        "con",
        "NUL.txt",
        "x/lpt1.png",
        "dot.",
        "space ",
        "what?",
        "a|b",
        "x" * 201,
        "ü" * 101,
    ],
)
def test_bad_names(name, tmp_path):
    with pytest.raises(BadNameError, match="use letters, digits"):
        inside(tmp_path, name)


def test_an_atomic_write_replaces_in_one_step_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new/deep/x.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with atomic_write(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["x.txt"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), SystemExit()])
def test_whatever_goes_wrong_the_old_file_stays_and_nothing_is_left(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "x.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_when_flushed(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_batch(torch.zeros(1, 4, 4, 3), tmp_path, "x", {})
    assert list(tmp_path.iterdir()) == []


def test_written_files_are_recorded_innermost_first(tmp_path):
    with record_written() as outer:
        save_json(tmp_path / "a.json", {"k": ["v", 1]})
        with record_written() as inner, atomic_write(tmp_path / "b") as path:
            path.touch()
    assert (outer, inner) == ([tmp_path / "a.json"], [tmp_path / "b"])
    assert json.loads((tmp_path / "a.json").read_text()) == {"k": ["v", 1]}


def test_pictures_are_found_in_the_first_folder_that_has_them(tmp_path):
    for folder, colour in (("one", "red"), ("two", "blue")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (2, 2), colour).save(tmp_path / folder / "same.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "two/other.jpg")
    (tmp_path / "two/readme.txt").write_text("no picture")
    here = folders.headless(tmp_path / "out", (tmp_path / "one", tmp_path / "two", tmp_path / "missing"))
    assert here.list_pictures() == ["other.jpg", "same.png"]
    assert here.find_picture("same.png") == tmp_path / "one/same.png"
    with pytest.raises(FileNotFoundError, match=r"no picture named 'x.png'; looked in .*one, .*two"):
        here.find_picture("x.png")
    with pytest.raises(BadNameError):
        here.find_picture("../two/same.png")


def test_models_that_were_written_can_be_read(here):
    target = here.model_target("loras", "sub/apple")
    assert target == here.output / "models/loras/sub/apple.safetensors"
    save_tensors(target, {"a": torch.ones(1)})
    assert here.list_models("loras") == ["sub/apple.safetensors"]
    assert here.find_model("loras", "sub/apple.safetensors") == target
    with pytest.raises(BadNameError):
        here.model_target("loras", "../apple")
    for name, said in (("", "is empty; there are sub/apple.safetensors"), ("a\0b", "contains a control character")):
        with pytest.raises(BadNameError, match=said):
            here.find_model("loras", f"{name}.safetensors")


def test_folders_in_force_end_with_their_context(tmp_path):
    outside = folders.current()
    with folders.use(folders.headless(tmp_path)) as chosen:
        assert folders.current() is chosen
    assert folders.current() == outside


def test_inside_comfyui_its_own_folders_are_asked(monkeypatch, tmp_path):
    stand_in = ModuleType("folder_paths")
    stand_in.get_input_directory = lambda: str(tmp_path / "i")
    stand_in.get_output_directory = lambda: str(tmp_path / "o")
    stand_in.get_temp_directory = lambda: str(tmp_path / "t")
    stand_in.get_folder_paths = lambda kind: [str(tmp_path / kind), str(tmp_path / "extra" / kind)]
    stand_in.models_dir = str(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "folder_paths", stand_in)
    monkeypatch.setitem(sys.modules, "comfy", SimpleNamespace())
    here = folders.current()
    assert here.models["ingredients"] == (tmp_path / "m/ingredients",)
    assert (here.input, here.output, here.temp) == ((tmp_path / "i",), tmp_path / "o", tmp_path / "t")
    assert here.models["loras"] == (tmp_path / "loras", tmp_path / "extra/loras")


def test_pictures_keep_their_values_through_files(tmp_path):
    levels = torch.arange(256).reshape(1, 16, 16, 1).repeat(1, 1, 1, 3) / 255
    (path,) = save_batch(levels, tmp_path, "x", {"note": {"a": [1, "ü"]}})
    with Image.open(path) as picture:
        assert picture.info["note"] == '{"a": [1, "\\u00fc"]}'
        back, mask = from_pil(picture)
    assert mask is None
    assert torch.allclose(back, levels[0], atol=1.01 / 255)


def test_values_out_of_range_are_clipped_and_broken_ones_refused():
    picture = torch.tensor([-1.0, 0.5, 2.0]).expand(1, 1, 3)
    assert to_pil(picture).getpixel((0, 0)) == (0, 127, 255)
    with pytest.raises(ValueError, match="NaN"):
        to_pil(torch.full((2, 2, 3), float("nan")))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "LA"])
def test_every_kind_of_picture_becomes_colours(mode):
    colours, mask = from_pil(Image.new(mode, (5, 3)))
    assert colours.shape == (3, 5, 3)
    assert mask is None or mask.shape == (3, 5)
    assert (mask is not None) == (mode in ("RGBA", "LA"))


def test_transparency_becomes_a_mask():
    _, mask = from_pil(Image.new("RGBA", (2, 2), (1, 2, 3, 0)))
    assert torch.equal(mask, torch.ones(2, 2))


BAD = [
    "../up",
    "/abs",
    "a//b",
    "C:/x",
    "con",
    "x/aux.txt",
    "a.",
    "a ",
    "x\n",
    "a" * 300,
    "",
    "..",
    "a\\..\\b",
    'say "x"',
]


@pytest.mark.parametrize("name", BAD)
def test_bad_names_are_made_safe(name):
    for made in (made_safe(name), prompt_name(name)):
        assert safe_name(made)
        assert made == made_safe(made)
    assert made_safe("portraits/anna b (1)") == "portraits/anna b (1)"


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("my cat 1", "my_cat_1"),
        ("a,b_1", "a_b_1"),
        ("cat(1)_1", "cat_1_1"),
        ("atelier/CON", "atelier/CON_"),
        ("a\\b", "a/b"),
        ("x.pt", "x_pt"),
        ("v1.5/e\u0301clair-2", "v1.5/\u00e9clair-2"),
        ("a__b", "a__b"),
        ("\u092c\u093f\u0932\u094d\u0932\u0940", "\u092c\u093f\u0932\u094d\u0932\u0940"),
        ("", "unnamed"),
    ],
)
def test_names_that_prompts_can_say(name, made):
    assert prompt_name(name) == made == prompt_name(made)


def test_names_are_distinguished_whatever_their_case():
    assert distinct(["a", "A", "a_2", "b", "a"]) == ["a", "A_2", "a_2_2", "b", "a_3"]


def test_pictures_are_numbered_and_named_by_the_tokens_of_their_prefix(tmp_path):
    pictures = torch.zeros(2, 4, 6, 3)
    for first in (1, 2):
        paths = save_batch(pictures, tmp_path, "%width%x%height%/a%batch_num%", {})
        names = [path.relative_to(tmp_path).as_posix() for path in paths]
        assert names == [f"6x4/a0_{first:05}_.png", f"6x4/a1_{first + 1:05}_.png"]
    (path,) = save_batch(pictures[:1], tmp_path, "%year%-%month%-%day%", {})
    assert path.name == f"{date.today().isoformat()}_00001_.png"


@pytest.mark.parametrize("name", ["\\Users\\anna\\secret.png", "\\\\host\\share\\x.png", "C:\\x.png", "a\\..\\x.png"])
def test_on_windows_no_spelling_of_a_name_leaves_its_folder(monkeypatch, name):
    monkeypatch.setattr(names, "os", SimpleNamespace(name="nt"))
    with pytest.raises(names.BadNameError, match="empty, absolute or would leave its folder"):
        names.existing(Path("input"), name)
