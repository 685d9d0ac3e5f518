"""Safetensors files are read whole or refused, and written whole or not at all."""

import os

import pytest
import torch

from concept_atelier.core import files

TENSORS = {"emb_params": torch.arange(384.0).view(2, 192)}
OTHER = {"emb_params": torch.ones(2, 192)}


@pytest.mark.parametrize("size", [0, 5, 60, 700])
def test_a_file_cut_short_is_refused(tmp_path, size):
    path = tmp_path / "apple.safetensors"
    files.save_tensors(path, TENSORS)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="cut short or no safetensors file"):
        files.load_tensors(path)


@pytest.mark.parametrize("stage", ["fsync", "replace"])
@pytest.mark.parametrize("reason", [OSError("No space left on device"), KeyboardInterrupt()], ids=["disk", "interrupt"])
def test_a_failed_save_leaves_the_old_file_whole_and_nothing_else(tmp_path, monkeypatch, stage, reason):
    path = tmp_path / "apple.safetensors"
    files.save_tensors(path, TENSORS)
    before = path.read_bytes()

    def fail(*args):
        raise reason

    monkeypatch.setattr(os, stage, fail)
    with pytest.raises(type(reason)):
        files.save_tensors(path, OTHER)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_running_out_of_room_in_the_middle_of_a_file_leaves_the_old_one_whole(tmp_path):
    resource = pytest.importorskip("resource", reason="file size limits are a Unix thing")
    path = tmp_path / "apple.safetensors"
    files.save_tensors(path, TENSORS)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError):
            files.save_tensors(path, OTHER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saved_files_have_ordinary_permissions(tmp_path):
    files.save_tensors(tmp_path / "apple.safetensors", TENSORS)
    (tmp_path / "plain").touch()
    assert (tmp_path / "apple.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_only_safetensors_are_written(tmp_path):
    with pytest.raises(ValueError, match="only .safetensors"):
        files.save_tensors(tmp_path / "apple.pt", TENSORS)


def test_a_file_without_tensors_is_refused(tmp_path):
    files.save_tensors(tmp_path / "empty.safetensors", {}, {"name": "apple"})
    with pytest.raises(ValueError, match="empty.safetensors holds no tensors"):
        files.load_tensors(tmp_path / "empty.safetensors")


def test_numbers_that_are_not_read_are_named(tmp_path):
    path = tmp_path / "pear.safetensors"
    files.save_tensors(path, {"emb_params": torch.ones(1, 4, dtype=torch.complex64)})
    with pytest.raises(ValueError, match="pear.safetensors holds numbers of the type complex64"):
        files.load_tensors(path)
