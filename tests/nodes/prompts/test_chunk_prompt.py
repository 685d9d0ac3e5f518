"""Phrases of prompts, with weights, over the lab's text encoder at random weights."""

import pytest
import torch

from concept_atelier.host.workflow.stock import CLIPTextEncode
from concept_atelier.nodes import ChunkPrompt

TEXT = "a photo of a red cat, and a dog with a hat"


def test_phrases_hold_the_prompt_and_take_weights(call, sockets):
    conditioning, text, phrases, table = call(ChunkPrompt, clip=sockets["clip"], text=TEXT, share=0)
    assert phrases.split("\n") == ["a photo", "of a red cat", "and a dog", "with a hat"] and text == TEXT
    plain = call(CLIPTextEncode, clip=sockets["clip"], text=TEXT)[0]
    assert torch.equal(conditioning[0][0], plain[0][0])
    rows = [line.split(",") for line in table.splitlines()[1:]]
    assert [TEXT[int(row[2]) : int(row[3])] for row in rows] == phrases.split("\n")
    weighted = call(ChunkPrompt, clip=sockets["clip"], text=TEXT, share=0, weights="red cat: 1.3\n4: 0.5")
    assert weighted[1] == "a photo (of a red cat:1.3), and a dog (with a hat:0.5)"
    stock = call(CLIPTextEncode, clip=sockets["clip"], text=weighted[1])[0]
    assert torch.equal(weighted[0][0][0], stock[0][0])


def test_a_muted_phrase_has_no_map_and_the_report_says_so(call, sockets):
    given = {"clip": sockets["clip"], "text": TEXT, "share": 0}
    muted, plain = call(ChunkPrompt, **given, weights="hat: 0"), call(ChunkPrompt, **given, weights="hat: 0.1")
    assert muted[1].endswith("(with a hat:0)") and "with a hat" in muted[3]
    assert muted[2].split("\n") == ["a photo", "of a red cat", "and a dog"]
    assert plain[2].split("\n")[-1] == "with a hat"
    assert ["muted" in str(done.ui) for done in (muted, plain)] == [True, False]


def test_a_long_prompt_is_broken_between_phrases(call, sockets):
    text = "a red cat, a blue dog, a small tree, a house"
    conditioning, lines, _, table = call(
        ChunkPrompt, clip=sockets["clip"], text=text, share=1, line_tokens=8, weights="tree: 2"
    )
    assert lines.split("\n") == ["a red cat, a blue dog,", "(a small tree:2), a house"]
    assert conditioning[0][0].shape[1] == 2 * 77 and table.splitlines()[-1].endswith(",2")
    alone = call(CLIPTextEncode, clip=sockets["clip"], text="a red cat, a blue dog,")[0]
    torch.testing.assert_close(conditioning[0][0][:, :77], alone[0][0])


def test_learnt_tokens_and_escaped_brackets(call, sockets, tokens):
    text = r"a photo of <Red>, \(wet\) and old".replace("<Red>", "<red>")
    found = call(ChunkPrompt, clip=sockets["clip"], tokens=tokens, text=text, share=0, weights="<red>: 1.2")
    assert "(of <red>:1.2)" in found[1] and r"\(wet\)" in found[1]
    assert call(ChunkPrompt, clip=sockets["clip"], text="")[2] == ""


def test_what_cannot_be_meant_is_refused(call, sockets):
    for given, said in (
        ({"text": "a (red:1.2) cat"}, "has weights in brackets"),
        ({"text": "a cat", "weights": "dog: 1.2"}, "is in no phrase"),
        ({"text": "a cat", "weights": "cat"}, "expected a phrase and its weight"),
        ({"text": "a cat", "weights": "cat: 11"}, "must lie in 0..10"),
        ({"text": "a cat", "weights": "cat: nan"}, "must lie in 0..10"),
        ({"text": "a <7>"}, "the prompt names"),
    ):
        with pytest.raises(ValueError, match=said):
            call(ChunkPrompt, clip=sockets["clip"], **given)
