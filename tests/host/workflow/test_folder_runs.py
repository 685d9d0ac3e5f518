"""One workflow over the pictures of a folder."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from concept_atelier.__main__ import main
from concept_atelier.host.workflow.folder_runs import RECORD, TEXTS, FolderRun, run_folder
from concept_atelier.host.workflow.graph import WorkflowError
from concept_atelier.host.workflow.stock import STOCK_NODES
from concept_atelier.host.workflow.stock.pictures import LoadImage
from concept_atelier.nodes import headless


@pytest.fixture(autouse=True)
def stock_nodes_only(monkeypatch):
    monkeypatch.setattr(headless, "HEADLESS_NODES", STOCK_NODES)


@pytest.fixture
def job(tmp_path):
    """Halve three pictures, one of which is none."""
    (tmp_path / "pictures").mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (8, 4), colour).save(tmp_path / "pictures" / name)
    (tmp_path / "pictures/broken.png").write_bytes(b"no picture")
    sizes = {"width": 4, "height": 0, "upscale_method": "area", "crop": "disabled"}
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], **sizes}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "small"}},
    }
    (tmp_path / "halve.json").write_text(json.dumps(workflow))
    return FolderRun(tmp_path / "halve.json", "LoadImage.image", tmp_path / "pictures", tmp_path / "out")


def test_every_picture_gets_a_folder_and_a_broken_one_stops_no_other(job):
    done = {run.name: run for run in run_folder(job)}
    assert set(done) == {"a.png", "b.png", "broken.png"}
    for name, colour in (("a.png", (255, 0, 0)), ("b.png", (0, 0, 255))):
        (file,) = done[name].files
        assert file.startswith(str(job.out / name)) and Image.open(file).getpixel((0, 0)) == colour
        assert Image.open(file).size == (4, 2)
    assert "LoadImage" in done["broken.png"].error and not (job.out / "broken.png" / RECORD).exists()


def test_what_nodes_say_of_a_picture_is_kept_beside_its_results(job):
    workflow = json.loads(job.workflow.read_text())
    workflow["4"] = {"class_type": "PreviewAny", "inputs": {"source": "two\nlines"}, "_meta": {"title": "Word"}}
    job.workflow.write_text(json.dumps(workflow))
    done = {run.name: run for run in run_folder(job)}
    texts = job.out / "a.png" / TEXTS
    assert texts.read_text() == "Word: two\n  lines\n" and str(texts) in done["a.png"].files
    texts.unlink()
    assert not next(run for run in run_folder(job) if run.name == "a.png").kept and texts.exists()


def test_odd_names_and_kinds_are_done_or_reported(job, capsys):
    (job.folder / "broken.png").unlink()
    for name in ("shot 10:30.png", "shot 10?30.png", "c.jfif"):
        Image.new("RGB", (8, 4)).save(job.folder / name, format="JPEG" if "jfif" in name else "PNG")
    for name in ("d.heic", "readme.txt", ".hidden"):
        (job.folder / name).write_bytes(b"something")
    words = ["run", str(job.workflow), "--over", f"{job.target}={job.folder}", "--out", str(job.out)]
    assert main(words) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "note: left out of the folder, since they are no pictures: readme.txt",
        "d.heic: pictures of this kind are not read; save it as PNG, JPEG, WebP, AVIF or TIFF",
        "left out: 1 of 6 pictures (d.heic)",
    ]
    assert {line.split(":  ")[0].rpartition(":")[0] for line in said.out.splitlines()} == {
        *("a.png", "b.png", "c.jfif", "shot 10:30.png", "shot 10?30.png")
    }
    made = {path.parent.name for path in job.out.rglob("small*.png")}
    assert made == {"a.png", "b.png", "c.jfif", "shot 10_30.png", "shot 10_30.png_2"}
    (job.folder / "d.heic").unlink()
    assert main(words) == 0 and "shot 10?30.png: finished before" in capsys.readouterr().out


def test_a_picture_that_the_check_refuses_stops_no_other(job, monkeypatch):
    refuses = classmethod(lambda cls, image: "too red" if image == "a.png" else True)
    monkeypatch.setattr(LoadImage, "validate_inputs", refuses)
    done = {run.name: run for run in run_folder(job)}
    assert "too red" in done["a.png"].error and done["b.png"].files
    monkeypatch.setattr(LoadImage, "validate_inputs", classmethod(lambda cls, image: "too red"))
    with pytest.raises(WorkflowError, match="too red"):
        list(run_folder(replace(job, out=job.out / "other")))


def test_a_console_that_lacks_letters_ends_no_run(job, tmp_path):
    Image.new("RGB", (8, 4)).save(job.folder / "b猫.png")
    (job.folder / "broken.png").unlink()
    words = ["run", str(job.workflow), "--over", f"{job.target}={job.folder}", "--out", str(job.out)]
    done = subprocess.run(
        [sys.executable, "-m", "concept_atelier", *words],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.decode("cp1252").splitlines() == ["a.png: 1 files", "b.png: 1 files", "b\\u732b.png: 1 files"]


def test_finished_pictures_are_kept_until_something_changes(job):
    first = {run.name: run for run in run_folder(job)}
    again = {run.name: run for run in run_folder(job)}
    assert again["a.png"].kept and again["a.png"].files == first["a.png"].files and not again["broken.png"].kept
    Image.new("RGB", (8, 4), "lime").save(job.folder / "a.png")
    fresh = {run.name: run for run in run_folder(job)}
    assert not fresh["a.png"].kept and fresh["b.png"].kept
    wider = FolderRun(job.workflow, job.target, job.folder, job.out, {"ImageScale.width": 6})
    assert not any(run.kept for run in run_folder(wider))


def test_a_missing_result_is_made_again(job):
    first = {run.name: run for run in run_folder(job)}
    for file in first["b.png"].files:
        (job.out / "b.png" / file).unlink()
    again = {run.name: run for run in run_folder(job)}
    assert not again["b.png"].kept and again["a.png"].kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "finished.json is a list, expected a map"),
        ("{}", "files of .*finished.json is nothing"),
        ('{"digest": 7, "files": []}', "digest of .*finished.json is a number, expected a text"),
        ('{"digest": "d", "files": {"a": 1}}', "files of .*finished.json is a map, expected a list"),
        ('{"digest": "d", "files": [["a"]]}', "a file of .*finished.json is a list, expected a text"),
        ('{"digest": "d", "files": [], "steps": NaN}', "NaN, which is not finite"),
        ("[" * 5000, "more than 200 deep"),
        ("", "is not a JSON file"),
    ],
)
def test_a_record_that_is_wrong_inside_is_set_aside_and_the_picture_done_again(job, caplog, text, said):
    list(run_folder(job))
    record = job.out / "a.png" / RECORD
    sound = json.loads(record.read_text())
    record.write_text(text)
    done = {run.name: run for run in run_folder(job)}
    assert not done["a.png"].kept and done["b.png"].kept and json.loads(record.read_text())["digest"] == sound["digest"]
    assert (record.parent / "finished.json.bad").read_text() == text
    assert re.search(said, caplog.text) and "the picture is done again" in caplog.text


def test_no_pictures_and_a_wrong_target_are_reported(job, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        list(run_folder(FolderRun(job.workflow, job.target, tmp_path / "nowhere", job.out)))
    (tmp_path / "bare").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures in .*bare; these are read: apng, avif"):
        list(run_folder(FolderRun(job.workflow, job.target, tmp_path / "bare", job.out)))
    with pytest.raises(WorkflowError):
        list(run_folder(FolderRun(job.workflow, "LoadImage.colour", job.folder, job.out)))


def test_the_command_says_what_became_of_each_picture(job, capsys):
    words = ["run", str(job.workflow), "--over", f"{job.target}={job.folder}", "--out", str(job.out)]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "a.png: 1 files" in said.out and "broken.png:" in said.err
    (job.folder / "broken.png").unlink()
    assert main(words) == 0
    assert "b.png: finished before" in capsys.readouterr().out


def test_without_ray_the_command_says_how_to_get_it(job, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["run", str(job.workflow), "--over", f"{job.target}={job.folder}", "--engine", "ray", "--out", str(job.out)]
    assert main(words) == 1
    assert "pip install ray" in capsys.readouterr().err


def test_ray_gives_the_same_files(job):
    pytest.importorskip("ray", reason="Ray is not installed")
    (job.folder / "broken.png").unlink()
    here = {run.name: run.files for run in run_folder(job)}
    there = FolderRun(job.workflow, job.target, job.folder, job.out.with_name("ray"))
    found = {run.name: run.files for run in run_folder(there, "ray")}
    assert set(found) == set(here)
    for name, files in here.items():
        pairs = zip(files, found[name], strict=True)
        assert all(Image.open(a).tobytes() == Image.open(b).tobytes() for a, b in pairs)
    assert all(run.kept for run in run_folder(there, "ray"))
