"""Pictures that carry their workflow, as ComfyUI and we write them."""

import json
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from concept_atelier.host.files.png_chunks import MAX_TEXT, texts
from concept_atelier.host.workflow.graph import WorkflowError
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.host.workflow.stock.pictures import SaveImage

PROMPT = {
    "1": {"class_type": "Number", "inputs": {"value": 4}},
    "2": {"class_type": "Show", "inputs": {"source": ["1", 0]}},
}
DRAWN = {"nodes": [{"id": 1, "type": "Note"}], "links": []}
PICTURE = Image.new("RGB", (8, 8), "teal")


def png(path, packed=False, **entries):
    info = PngInfo()
    for key, value in entries.items():
        info.add_text(key, value, zip=packed)
    PICTURE.save(path, pnginfo=info)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_a_png_gives_what_was_run_and_keeps_what_was_drawn(tmp_path, packed):
    path = png(tmp_path / "x.png", packed, prompt=json.dumps(PROMPT), workflow=json.dumps(DRAWN))
    workflow = load_workflow(path)
    assert workflow.data == PROMPT and workflow.picture_metadata() == {"workflow": DRAWN}


def test_a_png_with_a_drawing_alone_gives_that(tmp_path):
    assert load_workflow(png(tmp_path / "x.png", workflow=json.dumps(DRAWN))).data == DRAWN


def test_letters_of_any_alphabet_and_a_packed_text_of_a_megabyte(tmp_path):
    long = {**PROMPT, "3": {"class_type": "Show", "inputs": {"source": "猫 é " * 300_000}}}
    info = PngInfo()
    info.add_itxt("prompt", json.dumps(long, ensure_ascii=False), zip=True)
    PICTURE.save(tmp_path / "x.png", pnginfo=info)
    assert load_workflow(tmp_path / "x.png").data == long


@pytest.mark.parametrize("suffix", ["webp", "jpg", "avif"])
def test_other_pictures_carry_it_in_exif_fields(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0110], exif[0x010F] = "prompt:" + json.dumps(PROMPT), "workflow:" + json.dumps(DRAWN)
    try:
        PICTURE.save(tmp_path / f"x.{suffix}", exif=exif)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {suffix}")
    workflow = load_workflow(tmp_path / f"x.{suffix}")
    assert workflow.data == PROMPT and workflow.picture_metadata() == {"workflow": DRAWN}


def test_the_picture_of_a_run_runs_again(tmp_path, toys):
    registry = Registry([toys.Grey, SaveImage])
    save = {"images": ["1", 0], "filename_prefix": "x"}
    workflow = {
        "1": {"class_type": "Grey", "inputs": {"level": 0.5}},
        "2": {"class_type": "SaveImage", "inputs": save},
    }
    (first,) = run_workflow(workflow, out=tmp_path / "one", nodes=registry.values()).files
    (second,) = run_workflow(first, out=tmp_path / "two", nodes=registry.values()).files
    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({}, "carries no ComfyUI workflow"),
        ({"parameters": "a cat, Steps: 20"}, "only the settings that another program wrote"),
        ({"prompt": "{"}, "the prompt in .*x.png is not a JSON file"),
    ],
)
def test_pictures_without_a_workflow_are_reported_as_such(tmp_path, entries, said):
    with pytest.raises(WorkflowError, match=said):
        load_workflow(png(tmp_path / "x.png", **entries))


@pytest.mark.parametrize("data", [b"RIFF1234WEBP", b"\xff\xd8\xff\xe0 no", b"\x89PNG\r\n\x1a\n\0\0\1\0tEXtprompt"])
def test_pictures_that_are_cut_short_are_refused(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(WorkflowError, match=r"x\.png"):
        load_workflow(tmp_path / "x.png")


def test_a_text_that_unpacks_without_end_is_left_out():
    body = b"prompt\0\0" + zlib.compress(b" " * (MAX_TEXT + 1))
    chunk = len(body).to_bytes(4, "big") + b"zTXt" + body + zlib.crc32(b"zTXt" + body).to_bytes(4, "big")
    assert texts(b"\x89PNG\r\n\x1a\n" + chunk) == {}
