"""Tokens in the embeddings folder: names, and what is checked before anything is written."""

import pytest
import torch

from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.files import folders, token_files


@pytest.fixture
def tokens(lab_backbone):
    return ConceptTokens({name: lab_backbone.word_vectors(word) for name, word in (("1", "q"), ("cat", "cat"))}, "lab")


def test_names_are_those_that_prompts_use_and_load_in_the_order_asked_for(here, tokens, lab_backbone):
    saved = token_files.save(tokens, "set/", here)
    assert saved.names == ("set/1", "set/cat") and saved.changed == {}
    assert saved.describe() == "embedding:set/1\nembedding:set/cat"
    assert here.list_models("embeddings") == ["set/1.safetensors", "set/cat.safetensors"]
    back = token_files.load(["set/cat.safetensors", "set/1"], lab_backbone, here)
    assert back.names == ("cat", "1")
    assert all(torch.equal(back.vectors[n]["clip_l"], tokens.vectors[n]["clip_l"]) for n in back.names)


def test_the_files_are_reported_as_written(here, tokens):
    with folders.record_written() as written:
        token_files.save(tokens, "", here)
    assert written == [here.find_model("embeddings", f"{name}.safetensors") for name in ("1", "cat")]


def test_no_name_is_lost(here, tokens, lab_backbone):
    names = ["../up", "a b", "CON", "a" * 300, "", "é", "x.pt", "l1\nl2"]
    saved = token_files.save(ConceptTokens(dict.fromkeys(names, tokens.vectors["cat"]), "lab"), "set/", here)
    assert len(here.list_models("embeddings")) == len(names) == len(set(saved.names))
    for name in saved.names:
        assert lab_backbone.encode_text([f"a embedding:{name}"]).context.equal(
            lab_backbone.encode_text([f"a embedding:{saved.names[0]}"]).context
        )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("atelier/apple", ["atelier/apple"]),
        ("embedding:a\nembedding:b/c", ["a", "b/c"]),
        ("embedding:a,embedding:b , c", ["a", "b", "c"]),
        ("embedding:a embedding:b", ["a", "b"]),
        ("my old cat 1", ["my old cat 1"]),
        ("a\n# Changed, so: x is y\n\n b", ["a", "b"]),
        (" ,\n", []),
    ],
)
def test_names_are_read_as_people_write_them(text, names):
    assert token_files.read_names(text) == names


def test_two_files_with_one_name_inside_are_two_tokens(here, tokens, lab_backbone):
    for prefix in ("a/", "b/"):
        token_files.save(tokens, prefix, here)
    asked = ["a/1", "b/1", "a/1.safetensors"]
    loaded = token_files.load(asked, lab_backbone, here)
    assert loaded.names == ("1", "b_1")
    assert token_files.described(loaded, asked) == "<1> from a/1.safetensors\n<b_1> from b/1.safetensors"


def test_a_file_that_is_named_twice_is_loaded_once(here, tokens, lab_backbone):
    saved = token_files.save(tokens, "t/", here)
    loaded = token_files.load([saved.names[0], saved.names[0]], lab_backbone, here)
    assert loaded.names == tokens.names[:1]
