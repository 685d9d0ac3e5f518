"""``embedding:name`` wherever the headless host reads a text."""

import pytest
import torch

from concept_atelier.core.files import save_tensors
from concept_atelier.host.adapters import encode_prompt
from concept_atelier.host.files.embeddings import read_prompts
from concept_atelier.host.shared.text.prompt_syntax import Reference


@pytest.fixture
def files(here, lab_backbone):
    """Embeddings "ecat" and "sub/erocket" with the rows of the words "cat" and "rocket"; "wide" of another model."""
    for name, word in (("ecat", "cat"), ("sub/erocket", "rocket")):
        vectors = lab_backbone.word_vectors(word)["clip_l"]
        save_tensors(here.model_target("embeddings", name), {"emb_params": vectors}, {})
    save_tensors(here.model_target("embeddings", "wide"), {"emb_params": torch.ones(1, 768)}, {})


@pytest.fixture
def same(files, lab_backbone):
    """Assert that two texts are encoded alike, by the backbone and as a CONDITIONING."""

    def check(text, words):
        one, other = (lab_backbone.encode_text([written]) for written in (text, words))
        assert torch.allclose(one.context, other.context, atol=1e-5)
        assert torch.allclose(one.extras["pooled_output"], other.extras["pooled_output"], atol=1e-5)
        read = [lab_backbone.tokenize(written) for written in (text, words)]
        assert read[0].end == read[1].end
        assert encode_prompt(lab_backbone.clip, text, {})[0][0].equal(one.context)

    return check


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a photo of embedding:ecat, embedding:erocket", "a photo of cat, rocket"),
        ("embedding:sub/erocket.safetensors\nand", "rocket and"),
        ("a (embedding:ecat:1.3) on blue", "a (cat:1.3) on blue"),
        ("a (small embedding:ecat)", "a (small cat:1.1)"),
        ("embedding:ecat[embedding]", "cat[embedding]"),
    ],
)
def test_an_embedding_stands_for_its_word(same, text, words):
    same(text, words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a photo of embedding:ecat,embedding:erocket", "'embedding:erocket' right behind 'ecat,'"),
        ("a photo of cat,embedding:erocket", "'embedding:erocket' right behind 'cat,'"),
        ('a photo of "embedding:ecat"', "'embedding:ecat\"' right behind"),
        ("embedding:wide", "768 wide"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(files, lab_backbone, text, message):
    for read in (lab_backbone.tokenize, lambda text: lab_backbone.encode_text([text]), lab_backbone.word_vectors):
        with pytest.raises(ValueError, match=message):
            read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("embedding:nothing", "no embedding named 'nothing'; looked in"),
        ("embedding:ecat,dog", "no embedding named 'ecat,dog' .if 'ecat' is meant, put a space behind it"),
        ("embedding:ecat.", "no embedding named 'ecat.' .if 'ecat' is meant"),
        ("embedding:ecat:1.2 x", r"no embedding named 'ecat:1.2' \(a weight needs brackets: \(embedding:ecat:1.2\)"),
    ],
)
def test_a_missing_embedding_says_what_may_be_meant(files, lab_backbone, text, message):
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        lab_backbone.encode_text([text])


def test_tokens_and_files_stand_beside_each_other(files, lab_backbone):
    vectors = lab_backbone.word_vectors("rocket")
    parts, known = read_prompts(["(<r>:2) embedding:ecat <r>"], {"<r>": vectors}, lab_backbone.text_widths)
    assert parts == [[Reference("<r>", 2.0), Reference("embedding:ecat"), Reference("<r>")]]
    assert known.keys() == {"<r>", "embedding:ecat"} and known["<r>"] is vectors


def test_the_words_own_rows_are_those_of_the_file(files, lab_backbone):
    got = lab_backbone.word_vectors("embedding:ecat rocket")["clip_l"]
    assert got.equal(lab_backbone.word_vectors("cat rocket")["clip_l"])
    with pytest.raises(ValueError, match="has a weight, which means nothing here"):
        lab_backbone.word_vectors("(cat:1.2)")


def test_an_embedding_is_a_word_of_its_own(files, lab_backbone):
    read = lab_backbone.tokenize("a (embedding:ecat:1.2), embedding:sub/erocket")
    assert [(t.text, t.placeholder) for t in read.tokens] == [
        ("a", None), ("embedding:ecat", "embedding:ecat"), (",", None),
        ("embedding:sub/erocket", "embedding:sub/erocket"),
    ]  # fmt: skip
