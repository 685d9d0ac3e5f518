"""Tokens and LoRAs in the folders of models: replaced from run to run, never within one."""

import os

import pytest
import torch

from concept_atelier.core.files import load_tensors
from concept_atelier.host.files import saving
from concept_atelier.host.files.folders import BadNameError
from concept_atelier.host.files.model_files import file_of, fingerprint, save_model


def content(value):
    return {"emb_params": torch.full((1, 4), value)}, {"name": "apple"}


def test_a_file_of_an_earlier_run_is_replaced_and_one_of_this_time_is_not(here):
    replaces = "fruit/apple replaces another file of that name"
    for value, note in ((1.0, ""), (1.0, ""), (2.0, replaces)):
        with saving.run(), saving.record_written() as written:
            saved = save_model(here, "embeddings", "fruit/apple", content(value))
            assert (saved.name, saved.note) == ("fruit/apple", note) and written == [saved.path]
            assert load_tensors(saved.path)[0]["emb_params"][0, 0] == value
            second = save_model(here, "embeddings", "fruit/apple.safetensors", content(9.0))
            second.path.unlink()
    assert second.name == "fruit/apple_2" and second.path.name == "apple_2.safetensors"
    assert second.note == "fruit/apple was written meanwhile by another run or node; this one is fruit/apple_2"
    assert here.list_models("embeddings") == ["fruit/apple.safetensors"]


def test_bad_names_are_refused(here):
    with pytest.raises(BadNameError):
        save_model(here, "loras", "../apple", content(1.0))


def test_fingerprints_follow_the_content_and_the_list(here):
    for name, value in (("1", 1.0), ("cat", 2.0)):
        save_model(here, "embeddings", name, content(value))
    lists = (["1"], ["cat"], ["1", "cat"], ["cat", "1"], [])
    marks = [fingerprint(here, "embeddings", names) for names in lists]
    assert len(set(marks)) == 5
    assert fingerprint(here, "embeddings", ["1.safetensors"]) == marks[0]
    every = fingerprint(here, "embeddings", None)
    changed = save_model(here, "embeddings", "1", content(3.0)).path
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))  # clocks of file systems are coarse
    assert fingerprint(here, "embeddings", ["1"]) != marks[0] and fingerprint(here, "embeddings", None) != every
    assert fingerprint(here, "loras", None) == fingerprint(here, "loras", [])  # no such folder yet


def test_a_name_with_a_dot_is_found_again(here):
    saved = save_model(here, "skills", "v1.pt", content(1.0))
    assert here.find_model("skills", file_of(saved.name)) == saved.path


@pytest.mark.parametrize("name", ["old", "old.pt"])
def test_a_pickled_file_of_that_name_is_pointed_out(here, name):
    folder = here.models["loras"][0]
    folder.mkdir(parents=True)
    (folder / "old.pt").write_bytes(b"never read")
    with pytest.raises(FileNotFoundError, match="old.pt is there, but it is pickled"):
        here.find_model("loras", file_of(name))
