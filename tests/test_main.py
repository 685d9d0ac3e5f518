"""The command line, from its arguments to its exit status."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image

import concept_atelier.__main__
from concept_atelier.__main__ import BENCHES, build_parser, main
from concept_atelier.host.workflow.stock import STOCK_NODES
from concept_atelier.nodes import headless


@pytest.fixture(autouse=True)
def stock_nodes_only(monkeypatch):
    monkeypatch.setattr(headless, "HEADLESS_NODES", STOCK_NODES)


@pytest.fixture
def shrink(tmp_path):
    """A workflow that makes a picture smaller, and its picture."""
    (tmp_path / "input").mkdir()
    Image.new("RGB", (40, 20), "teal").save(tmp_path / "input/teal.png")
    sizes = {"width": 10, "height": 0, "upscale_method": "area", "crop": "disabled"}
    workflow = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "teal.png"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], **sizes}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "small"}},
        "4": {"class_type": "PreviewAny", "inputs": {"source": "done"}, "_meta": {"title": "Word"}},
    }
    path = tmp_path / "shrink.json"
    path.write_text(json.dumps(workflow))
    return path


def test_help_is_quick():
    code = "import sys; from concept_atelier.__main__ import build_parser; build_parser(['run']).format_help()"
    check = "; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules), 'slow imports'"
    subprocess.run([sys.executable, "-c", code + check], check=True, timeout=300)


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["bench", "--help"]])
def test_help_ends_well(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 0
    assert "usage: concept_atelier" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["paint"], ["run"], ["run", "x.json", "--set", "seed=1"]])
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: concept_atelier" in capsys.readouterr().err


def test_commands_of_the_lab_come_from_the_lab():
    args = build_parser(["lab"]).parse_args(["lab", "train", "vae"])
    assert (args.module, args.part) == ("commands.lab", "vae")


def test_every_bench_is_a_file_of_its_name():
    assert [module.rpartition(".")[2] for _, module in BENCHES.values()] == list(BENCHES)


def test_a_run_finds_pictures_beside_the_workflow_and_says_what_it_wrote(shrink, tmp_path, capsys):
    assert main(["run", str(shrink), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    (path,) = (tmp_path / "out").glob("*.png")
    assert said.out.splitlines() == ["Word: done", str(path)]
    assert "[1/4] LoadImage (1)" in said.err
    with Image.open(path) as picture:
        assert picture.size == (10, 5)


def test_set_and_input_and_quiet(shrink, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "other/black.png")
    options = [
        "--set",
        "1.image=black.png",
        "--set",
        "ImageScale.width=4",
        "--input",
        str(tmp_path / "other"),
        "--quiet",
    ]
    assert main(["run", str(shrink), "--out", str(tmp_path / "out"), *options]) == 0
    assert capsys.readouterr().err == ""
    with Image.open(next((tmp_path / "out").glob("*.png"))) as picture:
        assert (picture.size, picture.getpixel((0, 0))) == ((4, 4), (0, 0, 0))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("1.image=../shrink.json", "would leave its folder"),
        ("1.image=missing.png", "no picture named 'missing.png'; looked in"),
        ("3.filename_prefix=../x", "which would leave its folder"),
        ("2.width=99999", 'node 2 "ImageScale" (ImageScale), input "width": expected at most 16384, got 99999'),
        ("9.width=1", "no node is called '9'"),
    ],
)
def test_what_is_wrong_is_reported_and_nothing_is_written(shrink, tmp_path, capsys, option, said):
    assert main(["run", str(shrink), "--out", str(tmp_path / "out"), "--set", option]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_picture(shrink, tmp_path, capsys):
    (tmp_path / "input/teal.png").write_bytes(b"not a picture")
    assert main(["run", str(shrink), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert 'node 1 "LoadImage" (LoadImage) failed: ' in said and "ValueError" not in said
    assert "cannot be read as a picture" in said


def test_what_finished_nodes_said_is_shown_where_a_later_one_fails(shrink, tmp_path, capsys):
    workflow = json.loads(shrink.read_text())
    first = {"0": {**workflow.pop("4"), "class_type": "PreviewAny"}}
    shrink.write_text(json.dumps(first | workflow))
    (tmp_path / "input/teal.png").write_bytes(b"not a picture")
    assert main(["run", str(shrink), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out == "Word: done\n"


def test_a_workflow_that_is_missing(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.json")]) == 1
    assert capsys.readouterr().err == f"there is no file {tmp_path / 'none.json'}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_modules_load_says_one_line(tmp_path, number):
    (tmp_path / "torch.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(300)\n")
    command = [sys.executable, "-m", "concept_atelier", "run", "x.json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 130 and said == "stopped while loading; nothing was done\n"


def test_nothing_of_ours_but_the_signals_loads_before_they_are_caught():
    """What loads earlier would be cut short with a traceback."""
    code = "import sys, concept_atelier.__main__; print(*(m for m in sys.modules if m.startswith('concept_atelier.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = {"__main__", "host", "host.shared", "host.shared.interrupts"}
    assert set(done.stdout.split()) == {f"concept_atelier.{name}" for name in own}


def test_ctrl_c_in_any_other_command_says_one_line(monkeypatch, capsys):
    command = SimpleNamespace(add_arguments=lambda parser: None, main=lambda args: os.kill(os.getpid(), signal.SIGTERM))
    monkeypatch.setattr(concept_atelier.__main__, "_load", lambda module: command)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "stopped\n" and signal.getsignal(signal.SIGTERM) is before


def test_a_picture_may_be_called_by_a_number(shrink, tmp_path, capsys):
    workflow = json.loads(shrink.read_text())
    workflow["1"]["inputs"]["image"] = 7
    shrink.write_text(json.dumps(workflow))
    assert main(["run", str(shrink), "--out", str(tmp_path / "out")]) == 1
    assert "no picture named '7'" in capsys.readouterr().err
