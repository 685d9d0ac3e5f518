"""Save and Load Concept Tokens: round trip, foreign and damaged files, names, full disks and kills."""

import errno
import os
import pickle
import signal
import subprocess
import sys

import pytest
import torch

from concept_atelier.core.files import load_tensors, save_tensors
from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.files import folders
from concept_atelier.nodes import EncodeConceptPrompt, LoadConceptTokens, SaveConceptTokens


@pytest.fixture
def load(call, sockets):
    return lambda names: call(LoadConceptTokens, clip=sockets["clip"], names=names)[0]


def test_tokens_come_back_as_they_were(call, load, tokens, files_below):
    result = call(SaveConceptTokens, tokens=tokens)
    assert result[0] == "atelier/red\natelier/green"
    assert result.ui.as_dict()["text"] == ("embedding:atelier/red\nembedding:atelier/green",)
    assert files_below() == [f"out/models/embeddings/atelier/{name}.safetensors" for name in ("green", "red")]
    back = load(result[0])
    assert back.names == tokens.names and back.family == tokens.family
    assert all(torch.equal(back.vectors[n]["clip_l"], tokens.vectors[n]["clip_l"]) for n in tokens.names)
    assert back.metadata["settings"] == tokens.metadata["settings"]


def test_two_tokens_of_one_name_get_names_that_are_shown(call, sockets, tokens, encode):
    saved = [call(SaveConceptTokens, tokens=tokens, prefix=f"{folder}/")[0].split("\n")[0] for folder in ("a", "b")]
    result = call(LoadConceptTokens, clip=sockets["clip"], names="\n".join(saved))
    assert result.ui.as_dict()["text"] == ("<red> from a/red.safetensors\n<b_red> from b/red.safetensors",)
    both = call(EncodeConceptPrompt, clip=sockets["clip"], tokens=result[0], text="<red> and <b_red>")[0]
    assert torch.equal(both[0][0], encode("embedding:a/red and embedding:b/red")[0][0])


def test_the_stock_prompt_finds_the_files(call, sockets, tokens, encode):
    numbered = ConceptTokens({"1": tokens.vectors["red"], "2": tokens.vectors["green"]}, tokens.family)
    call(SaveConceptTokens, tokens=numbered)
    ours = call(EncodeConceptPrompt, clip=sockets["clip"], tokens=tokens, text="a photo of <red>, and <2>")[0]
    stock = encode("a photo of embedding:atelier/1, and embedding:atelier/2")
    assert torch.equal(ours[0][0], stock[0][0])
    assert torch.equal(ours[0][1]["pooled_output"], stock[0][1]["pooled_output"])


def test_the_runner_is_reported_the_files(call, tokens):
    with folders.record_written() as written:
        call(SaveConceptTokens, tokens=tokens, prefix="mine_")
    assert [path.name for path in written] == ["mine_red.safetensors", "mine_green.safetensors"]


def test_saving_again_replaces(call, load, tokens, files_below):
    for shift in (1.0, 2.0):
        moved = {n: {k: v + shift for k, v in vectors.items()} for n, vectors in tokens.vectors.items()}
        call(SaveConceptTokens, tokens=ConceptTokens(moved, tokens.family))
    assert torch.equal(load("atelier/red").vectors["red"]["clip_l"], tokens.vectors["red"]["clip_l"] + 2)
    assert len(files_below()) == 2


def test_a_file_that_changes_makes_the_node_run_again(call, tokens):
    def mark():
        return LoadConceptTokens.fingerprint_inputs(names="atelier/red")

    call(SaveConceptTokens, tokens=tokens)
    first = mark()
    assert mark() == first
    moved = {"red": {"clip_l": tokens.vectors["red"]["clip_l"] + 1}}
    call(SaveConceptTokens, tokens=ConceptTokens(moved, tokens.family))
    assert mark() != first


@pytest.mark.parametrize("prefix", ["../", "/tmp/", "a/../../", "C:/", "x\n", "nul/"])
def test_prefixes_that_leave_the_folder_are_refused_before_running_and_made_safe_if_linked(
    call, load, tokens, here, prefix
):
    assert "prefix" in SaveConceptTokens.validate_inputs(prefix=prefix)
    saved = call(SaveConceptTokens, tokens=tokens, prefix=prefix)
    assert sorted(here.list_models("embeddings")) == sorted(f"{name}.safetensors" for name in saved[0].splitlines())
    assert load(saved[0]).names == tokens.names


@pytest.mark.parametrize("prefix", ["my cat ", "a,b_", "cat(1)_", "<x>[y]{z}|", "embedding:", 'it\'s "it" '])
def test_names_that_no_prompt_can_say_are_made_so_that_it_can(call, load, tokens, encode, prefix):
    saved = call(SaveConceptTokens, tokens=tokens, prefix=prefix)
    lines = saved.ui.as_dict()["text"][0].splitlines()
    assert lines[:2] == [f"embedding:{name}" for name in saved[0].splitlines()]
    assert lines[2].startswith("# Changed, so that prompts can say the name: ") and len(lines) == 3
    for line, name in zip(lines, tokens.names, strict=False):
        assert torch.equal(encode(f"a photo of {line}, red")[0][0], encode(f"a (photo:1.0) of {line} , red")[0][0])
        assert torch.equal(load(line).vectors[name]["clip_l"], tokens.vectors[name]["clip_l"])


def test_the_very_text_that_saving_shows_can_be_loaded(call, load, tokens):
    for prefix in ("atelier/", "my cat "):
        text = call(SaveConceptTokens, tokens=tokens, prefix=prefix).ui.as_dict()["text"][0]
        assert load(text).names == tokens.names
        assert LoadConceptTokens.fingerprint_inputs(names=text)
        assert load(" ".join(text.splitlines()[:2])).names == load(",".join(text.splitlines()[:2])).names


def test_names_that_windows_reserves_and_names_that_differ_by_case(call, load, sockets, tokens):
    one, other = tokens.vectors["red"], tokens.vectors["green"]
    named = ConceptTokens({"CON": one, "Cat": one, "cat": other, "cat_2": one}, tokens.family)
    saved = call(SaveConceptTokens, tokens=named, prefix="x/")
    assert saved[0].splitlines() == ["x/CON_", "x/Cat", "x/cat_2", "x/cat_2_2"]
    assert "'x/CON' is x/CON_, 'x/cat' is x/cat_2, 'x/cat_2' is x/cat_2_2" in saved.ui.as_dict()["text"][0]
    for name, line in zip(named.names, saved[0].splitlines(), strict=True):
        assert torch.equal(load(line).vectors[name]["clip_l"], named.vectors[name]["clip_l"])


def test_a_file_or_folder_in_the_way_does_not_lose_the_tokens(call, load, tokens, here):
    folder = here.models["embeddings"][0]
    (folder / "red.safetensors").mkdir(parents=True)
    (folder / "atelier").write_text("not a folder")
    for prefix, names in (("", ["red_", "green"]), ("atelier/", ["atelier_red_", "atelier_green_"])):
        saved = call(SaveConceptTokens, tokens=tokens, prefix=prefix)
        assert saved[0].splitlines() == names
        assert load(saved[0]).names == tokens.names


@pytest.mark.parametrize("prefix", ["", "atelier/", "mine_", None])
def test_ordinary_prefixes_and_linked_ones_pass(prefix):
    assert SaveConceptTokens.validate_inputs(prefix=prefix) is True


@pytest.mark.parametrize("names", ["../red", "atelier/../../red", "/etc/passwd"])
def test_names_to_load_stay_in_the_folder(load, names):
    with pytest.raises(folders.BadNameError):
        load(names)


def test_missing_and_no_names(load):
    with pytest.raises(FileNotFoundError, match="no file in embeddings named 'nothing.safetensors'; looked in"):
        load("nothing")
    with pytest.raises(ValueError, match="name at least one embedding"):
        load(" , ")


def cut_short(path, tokens):
    path.write_bytes(path.read_bytes()[:60])


def a_pickle(path, tokens):
    path.write_bytes(pickle.dumps({"emb_params": [1.0]}))


def other_keys(path, tokens):
    save_tensors(path, {"a": torch.ones(1, 192), "b": torch.ones(1, 192)}, {})


def other_width(path, tokens):
    save_tensors(path, {"emb_params": torch.ones(1, 768)}, {})


def not_finite(path, tokens):
    save_tensors(path, {"emb_params": torch.full((1, 192), torch.nan)}, {})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "cut short"),
        (a_pickle, "no safetensors file"),
        (other_keys, "no token file for this model: it holds a, b"),
        (other_width, "768 wide, this model's clip_l reads 192"),
        (not_finite, "not finite"),
    ],
)
def test_bad_files_are_refused_by_name(call, load, encode, tokens, here, damage, message):
    call(SaveConceptTokens, tokens=tokens)
    damage(here.find_model("embeddings", "atelier/red.safetensors"), tokens)
    for read in (lambda: load("atelier/red"), lambda: encode("embedding:atelier/red")):
        with pytest.raises(ValueError, match=message) as caught:
            read()
        assert "red.safetensors" in str(caught.value)
    assert load("atelier/green").names == ("green",)


def test_pickled_files_are_refused_by_their_ending(load, here):
    target = here.models["embeddings"][0] / "old.pt"
    target.parent.mkdir(parents=True)
    target.write_bytes(pickle.dumps([1]))
    with pytest.raises(FileNotFoundError, match="pickled and can run code"):
        load("old.pt")


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_full_disk_keeps_the_older_files_and_leaves_nothing_else(call, load, tokens, files_below, monkeypatch, stage):
    call(SaveConceptTokens, tokens=tokens)
    before = files_below()
    moved = {n: {k: v + 1 for k, v in vectors.items()} for n, vectors in tokens.vectors.items()}

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, stage, full)
    with pytest.raises(OSError, match="No space left"):
        call(SaveConceptTokens, tokens=ConceptTokens(moved, tokens.family))
    monkeypatch.undo()
    assert files_below() == before
    for name in tokens.names:
        assert torch.equal(load(f"atelier/{name}").vectors[name]["clip_l"], tokens.vectors[name]["clip_l"])


KILLED = """
import os, signal, sys, torch
from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.files import folders
from concept_atelier.nodes import SaveConceptTokens
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
with folders.use(folders.headless(sys.argv[1])):
    SaveConceptTokens.execute(tokens=ConceptTokens({"red": {"clip_l": torch.ones(1, 192)}}, "lab"), prefix="atelier/")
"""


def test_a_kill_in_the_middle_of_a_save_leaves_the_older_file(call, load, tokens, here):
    call(SaveConceptTokens, tokens=tokens)
    killed = subprocess.run([sys.executable, "-c", KILLED, here.output], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert torch.equal(load("atelier/red").vectors["red"]["clip_l"], tokens.vectors["red"]["clip_l"])
    assert here.list_models("embeddings") == ["atelier/green.safetensors", "atelier/red.safetensors"]


def test_what_the_files_say_of_themselves(call, tokens, here):
    call(SaveConceptTokens, tokens=tokens)
    tensors, metadata = load_tensors(here.find_model("embeddings", "atelier/red.safetensors"))
    assert list(tensors) == ["emb_params"]
    assert metadata["name"] == "red" and metadata["family"] == "lab" and metadata["method"] == "conceptexpress"
