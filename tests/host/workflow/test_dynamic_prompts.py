"""Alternatives and comments in prompts, as ComfyUI's page resolves them."""

import time

import pytest

from concept_atelier.host.workflow.dynamic_prompts import has_alternatives, resolve_prompt


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a cat", "a cat"),
        ("a {cat|cat} photo", "a cat photo"),
        ("a {cat} photo", "a cat photo"),
        ("a {{cat|{cat}}|{cat}} photo", "a cat photo"),
        ("{|}x", "x"),
        ("a {cat", "a cat"),  # never closed: it ends with the text
        ("a cat} photo", "a cat} photo"),
        ("a cat | a dog", "a cat | a dog"),
        ("a \\{cat\\|dog\\} photo", "a {cat|dog} photo"),
        ("{a\\|b\\}|a\\|b\\}} c", "a|b} c"),
        ("\\(old\\) \\n {cat|cat}", "\\(old\\) \\n cat"),
        ("a cat photo // a note", "a cat photo "),
        ("a cat // one\nand a dog // two", "a cat \nand a dog "),
        ("a cat /* note */ photo", "a cat  photo"),
        ("a /* {cat|\n dog} // */ photo", "a  photo"),
        ("a /* photo", "a /* photo"),  # never closed: letters
        ("a /* photo // note", "a /* photo "),
        ("https://example.com", "https:"),
        ("{a // b|c\n|a \n} d", "a \n d"),  # comments go first, and take alternatives with them
        ('(red:1.2) <1> embedding:x, "y"', '(red:1.2) <1> embedding:x, "y"'),
        ("ends in \\", "ends in \\"),
    ],
)
def test_what_is_sent(text, read):
    assert resolve_prompt(text).text == read


def test_every_alternative_comes_evenly_and_a_seed_gives_one():
    found = [resolve_prompt("{a|b|{c|d}}", str(seed)).text for seed in range(600)]
    counts = {letter: found.count(letter) for letter in "abcd"}
    assert 150 < counts["a"] < 250 and 150 < counts["b"] < 250
    assert 60 < counts["c"] < 140 and 60 < counts["d"] < 140
    assert found == [resolve_prompt("{a|b|{c|d}}", str(seed)).text for seed in range(600)]


def test_what_was_decided_is_reported():
    resolved = resolve_prompt("a {cat|{cat}} // note\nand /* another */ {dog}", "0")
    assert resolved.comments == 2
    assert resolved.taken[0][0] == ("cat", "{cat}") and resolved.taken[-1] == (("dog",), "dog")
    assert "of '{cat|{cat}}'" in resolved.describe() and "2 comments were left out" in resolved.describe()
    assert resolve_prompt("a cat").describe() == ""


@pytest.mark.parametrize(
    ("text", "there"), [("a {cat|dog}", True), ("a {cat} | b", False), ("\\{a|b}", False), ("{" * 10**6, False)]
)
def test_alternatives_are_seen(text, there):
    assert has_alternatives(text) is there


@pytest.mark.parametrize(
    "text", ["{" * 10**6, "{a|" * 10**5, "/*" * 10**6, "{a|b}" * 10**4, "/*/" * 10**5 + "//" * 10**5]
)
def test_a_megabyte_takes_no_minute(text):
    begun = time.perf_counter()
    try:
        resolve_prompt(text)
    except ValueError as error:
        assert "nests braces deeper" in str(error)
    assert time.perf_counter() - begun < 10
