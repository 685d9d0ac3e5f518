"""Files are whole or not there, two runs never take one name, and what killed runs leave is swept."""

import errno
import os
import subprocess
import sys
import textwrap
import time

import pytest

from concept_atelier.core.files import writing
from concept_atelier.core.files.writing import atomic_write, sweep, write_named, write_numbered

TWO_RUNS = """
import sys
from pathlib import Path
from concept_atelier.core.files.writing import write_numbered
for number in range(40):
    text = f"{sys.argv[2]} {number}"
    write = lambda path: path.write_text(text)
    for path in write_numbered(Path(sys.argv[1]) / "x", {"csv": write, "json": write})[1]:
        print(path, text, sep=":")
"""


def text_writer(text):
    return lambda path: path.write_text(text)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_two_processes_that_write_at_once_never_take_one_name(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(TWO_RUNS), str(tmp_path)]
    runs = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in ("one", "two")]
    said = [line.split(":") for run in runs for line in run.communicate(timeout=300)[0].splitlines()]
    assert [run.returncode for run in runs] == [0, 0]
    assert len(said) == len({path for path, _ in said}) == len(names_in(tmp_path)) == 160
    assert all((tmp_path / path).read_text() == text for path, text in said)
    for path, text in said:  # the files of a pair have one number
        assert (tmp_path / path).with_suffix(".json").read_text() == text


@pytest.fixture(params=["links", "no links"])
def file_system(request, monkeypatch):
    """With hard links, and without, as FAT and some shared disks are."""

    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


def test_numbers_count_on_from_what_is_there(tmp_path, file_system):
    (tmp_path / "a").mkdir()
    for name in ("x_00007_.png", "x_000000000000000000000000000009_.png", "xy_00050_.png", "x_12.jpg"):
        (tmp_path / "a" / name).touch()
    number, paths = write_numbered(tmp_path / "a/x", {"csv": text_writer("1"), "json": text_writer("2")})
    assert number == 13 and [p.name for p in paths] == ["x_00013_.csv", "x_00013_.json"]
    (tmp_path / "a/x_00014_.json").write_text("another's")
    number, paths = write_numbered(tmp_path / "a/x", {"csv": text_writer("3"), "json": text_writer("4")}, number + 1)
    assert number == 15 and [p.read_text() for p in paths] == ["3", "4"]
    assert not (tmp_path / "a/x_00014_.csv").exists() and (tmp_path / "a/x_00014_.json").read_text() == "another's"
    assert not [name for name in names_in(tmp_path / "a") if name.startswith(".")]


def test_a_named_file_replaces_what_was_there_before_the_run_and_nothing_since(tmp_path, file_system):
    path = tmp_path / "apple.safetensors"
    path.write_text("last week's")
    os.utime(path, (1000, 1000))
    began = time.time() - 5
    assert write_named(path, text_writer("mine"), began) == path
    assert write_named(path, text_writer("another run's"), began) == tmp_path / "apple_2.safetensors"
    assert write_named(path, text_writer("a third one's"), began) == tmp_path / "apple_3.safetensors"
    assert [(tmp_path / name).read_text() for name in names_in(tmp_path)] == ["mine", "another run's", "a third one's"]
    assert write_named(path, text_writer("whatever is there"), None) == path


@pytest.mark.parametrize("call", [write_named, lambda path, write: write_numbered(path, {"png": write})])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError("encoder error -2")])
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, call, error):
    def write(path):
        path.write_text("half")
        raise error

    with pytest.raises(OSError, match=r"apple.* cannot be written: (No space left|encoder error)") as caught:
        call(tmp_path / "apple", write)
    assert caught.value.errno == error.errno and names_in(tmp_path) == []


def test_a_folder_that_is_none_and_a_name_that_is_too_long_are_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match="x.txt cannot be written: .*file is a file, no folder"),
        atomic_write(tmp_path / "file/x.txt"),
    ):
        pass
    with pytest.raises(OSError, match="cannot be written: File name too long"):
        write_named(tmp_path / ("x" * 300), text_writer(""))
    assert names_in(tmp_path) == ["file"]


def test_errors_of_other_files_stay_their_own(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "out/x.txt") as path:
        path.write_bytes((tmp_path / "source/missing.png").read_bytes())
    assert str(caught.value.filename).endswith("missing.png")


def test_a_file_without_links_leaves_no_empty_one_when_the_move_fails(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match="x_00001_.png cannot be written"):
        write_numbered(tmp_path / "x", {"png": text_writer("1")}, first=1)
    assert names_in(tmp_path) == []


def left_over(folder, process, machine=None, age=0.0):
    path = folder / f".atelier-{machine or writing._machine()}-{process}-0123456789ab.tmp.png"
    path.write_text("half")
    os.utime(path, (time.time() - age,) * 2)
    return path


@pytest.fixture
def dead():
    """The number of a process that was."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(300)
    return process.pid


def test_what_killed_processes_left_goes_and_what_others_write_stays(tmp_path, dead):
    week = 8 * 24 * 3600
    gone = [left_over(tmp_path, dead), left_over(tmp_path, 4_000_000_000), left_over(tmp_path, 1, "00000000", week)]
    former = [tmp_path / ".small.0123456789ab.tmp.png", tmp_path / ".saving-0123456789abcdef.safetensors"]
    for path in former:
        path.touch()
        os.utime(path, (time.time() - week,) * 2)
    kept = [left_over(tmp_path, os.getpid(), age=week), left_over(tmp_path, dead, "00000001")]
    for name in (".hidden", "x_00001_.png", ".atelier-notes.png", ".new.0123456789ab.tmp.png"):
        (tmp_path / name).touch()
        kept.append(tmp_path / name)
    (tmp_path / f".atelier-{writing._machine()}-{dead}-aaaaaaaaaaaa.tmp").mkdir()
    assert set(sweep(tmp_path)) == {*gone, *former}
    assert set(kept) < set(tmp_path.iterdir()) and len(list(tmp_path.iterdir())) == len(kept) + 1
    assert sweep(tmp_path / "nowhere") == []


def test_what_is_there_stays(tmp_path, file_system):
    path = tmp_path / "sub/x.txt"
    assert writing.write_absent(path, text_writer("first")) and not writing.write_absent(path, text_writer("second"))
    assert path.read_text() == "first" and names_in(path.parent) == ["x.txt"]
