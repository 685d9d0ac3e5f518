"""ComfyUI's prompt syntax: what it means, and what is refused because it would be read as letters."""

import re

import pytest

from concept_atelier.host.shared.text.prompt_syntax import (
    Reference,
    Words,
    named,
    plain_words,
    read_marked,
    read_syntax,
    split_at,
    with_marks,
)

UNDERSTOOD = [
    ("", []),
    ("a cat", [Words("a cat")]),
    ("(cat)", [Words("cat", 1.1)]),
    ("a (cat:1.3) here", [Words("a "), Words("cat", 1.3), Words(" here")]),
    ("((cat))", [Words("cat", 1.1 * 1.1)]),
    ("((cat:2) dog:0.5)", [Words("cat", 2.0), Words(" dog", 0.5)]),
    ("(cat:-1)", [Words("cat", -1.0)]),
    ("(a: b)", [Words("a: b", 1.1)]),  # no number behind the colon
    ("(:1.2)", [Words(":1.2", 1.1)]),  # no word before it
    ("a (cat", [Words("a "), Words("(cat")]),  # unclosed brackets are letters
    ("a) (cat:1.2)", [Words("a) (cat:1.2)")]),
    ("()", []),
    ("\\(small\\) cat", [Words("(small) cat")]),
    ("(a \\(b\\):2)", [Words("a (b)", 2.0)]),
    ("embedding:a", [Reference("a")]),
    ("embedding: a", [Reference("a")]),
    ("a photo of embedding:sub/a, embedding:b.safetensors", [Words("a photo of "), Reference("sub/a"), Words(", ")]
     + [Reference("b.safetensors")]),
    ("a\tembedding:a\nembedding:b", [Words("a\t"), Reference("a"), Reference("b")]),
    ("(embedding:a:1.2)", [Reference("a", 1.2)]),
    ("(embedding:a)", [Reference("a", 1.1)]),
    ("(red embedding:a:1.5) on blue", [Words("red ", 1.5), Reference("a", 1.5), Words(" on blue")]),
    ("(cat)embedding:a", [Words("cat", 1.1), Reference("a")]),
    ("embedding:a[b] <c>", [Reference("a"), Words("[b] <c>")]),
    ("embedding:a,, b", [Reference("a"), Words(",, b")]),
    ("embedding:a,b", [Reference("a,b")]),  # looked for as one name, as ComfyUI does
    ("word embeddings", [Words("word embeddings")]),
    ("(word embeddings:1.2)", [Words("word embeddings", 1.2)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "parts"), UNDERSTOOD)
def test_what_is_understood(text, parts):
    assert read_syntax(text) == parts


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("embedding:a,embedding:b", "'embedding:b' right behind 'a,'"),
        ("a cat,embedding:b", "'embedding:b' right behind 'cat,'"),
        ('a "embedding:a"', "'embedding:a\"' right behind '\"'"),
        ("[embedding:a]", "'embedding:a]' right behind '\\['"),
        ("a \\(embedding:a\\)", "'embedding:a\\)' right behind '\\('"),
        ("a (embedding:a", "'embedding:a' right behind '\\('"),
        ("<embedding:a>", "'embedding:a>' right behind '<'"),
        ("aembedding:x", "'embedding:x' right behind 'a'"),
        ("a Embedding:x", "'Embedding:x', where"),
        ("embedding:a[embedding:b]", "'embedding:b]' right behind '\\['"),
    ],
)
def test_an_embedding_is_never_read_as_letters(text, named):
    with pytest.raises(ValueError, match=f"the prompt has .*{named}.*write embedding: in small letters") as caught:
        read_syntax(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["(embedding:1)", "a (red embedding:2e3)", "(EMBEDDING : 1.2)"])
def test_a_number_for_a_name_would_be_a_weight(text):
    with pytest.raises(ValueError, match="reads as the word 'embedding' with a weight; for the embedding write"):
        read_syntax(text)
    assert read_syntax("(embedding:1:1.1)") == [Reference("1", 1.1)]


@pytest.mark.parametrize("text", ["embedding:", "a embedding: \n", "embedding:, a", "embedding:,a", "embedding:[a]"])
def test_an_embedding_without_a_name(text):
    with pytest.raises(ValueError, match="without a name right behind the colon"):
        read_syntax(text)


@pytest.mark.parametrize("number", ["nan", "inf", "-1e999"])
def test_weights_are_finite(number):
    with pytest.raises(ValueError, match="give a number like 1.2"):
        read_syntax(f"a (cat:{number})")


def test_halves_of_characters_are_refused():
    with pytest.raises(ValueError, match=r"half of a character, '\\ud83d', which no tokenizer reads"):
        read_syntax("a \ud83d cat")
    assert read_syntax("a \U0001f600 cat") == [Words("a \U0001f600 cat")]


def test_nesting_has_a_limit():
    assert read_syntax("(" * 100 + "cat" + ")" * 100)[0].text == "cat"
    with pytest.raises(ValueError, match="brackets deeper than 100"):
        read_syntax("(" * 100_000 + "cat" + ")" * 100_000)


def test_placeholders_stand_apart_from_what_is_beside_them():
    text, marks = with_marks("a(<b c>:1.5)<d>-ish", ["<d>", "<b c>"])
    assert named(read_syntax(text), marks) == [
        Words("a"), Reference("<b c>", 1.5), Reference("<d>"), Words(" -ish")
    ]  # fmt: skip
    assert named([Reference("x", 2.0)], marks) == [Reference("embedding:x", 2.0)]


def test_the_longest_placeholder_wins_and_unknown_ones_are_words():
    assert split_at("<a><a>b", ["<a>", "<a><a>"]) == ["", "<a><a>", "b"]
    assert split_at("<pear>", ["<apple>"]) == ["<pear>"]


def test_what_a_word_says():
    assert plain_words("(teddy bear:1.2)") == "teddy bear"
    assert plain_words("a (red:1.2) embedding:x \\(old\\)") == "a red embedding:x (old)"


def test_what_is_wrong_is_said_with_the_placeholders_as_they_were_written():
    with pytest.raises(ValueError, match=re.escape("the weight 'nan' in '(<b c>:nan)'")):
        read_marked("a (<b c>:nan)", ["<d>", "<b c>"])
