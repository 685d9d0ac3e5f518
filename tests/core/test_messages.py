"""What people gave is shown short and printable, whatever it is."""

import pytest

from concept_atelier.core.messages import counted, listed, paragraph, plain, printable, shown, there_are


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    ["x" * 1_000_000, "\x1b[2J\x07" * 200, "half \ud800 of one", "\u202eback", 10**5000, -(10**5000), nested(5000)]
    + [{"a" * 500: list(range(10_000))}, b"\x00" * 10_000, float("nan"), None],
    ids=[
        "megabyte",
        "control",
        "surrogate",
        "direction",
        "integer",
        "negative",
        "depth",
        "map",
        "bytes",
        "nan",
        "none",
    ],
)
def test_any_value_is_shown_short_and_printable(value):
    for text in (shown(value), plain(value), listed([value]), paragraph(str(shown(value)))):
        assert 0 < len(text) <= 80 and text.isprintable()
        text.encode("utf-8")


def test_what_is_short_and_printable_stays_as_it_is():
    assert [shown(value) for value in ("it's", 7, 1.5, True, {"a": 1})] == ['"it\'s"', "7", "1.5", "True", "{'a': 1}"]
    assert plain("Katze 猫 \u2764\u200d\U0001f525") == "Katze 猫 \u2764\u200d\U0001f525"
    assert paragraph("two\nlines\a") == "two\nlines\\x07"


def test_both_ends_of_a_long_text_are_shown():
    text = plain("start" + "x" * 1000 + "end.safetensors")
    assert text.startswith("start") and text.endswith("end.safetensors") and "..." in text and len(text) == 80


def test_lists_stop_after_twenty():
    assert listed(range(20)) == ", ".join(map(str, range(20)))
    assert listed(range(50_000)) == ", ".join(map(str, range(20))) + " and 49980 more"
    assert listed([]) == ""


def test_long_texts_for_a_terminal_keep_their_length_and_lines():
    text = "line\n\tone " + "x" * 10_000
    assert printable(text) == text
    assert printable("\x1b[2J\r\ud800 ok") == "\\x1b[2J\\r\\ud800 ok"


def test_a_number_takes_its_noun():
    assert [counted(number, "picture") for number in (0, 1, 2)] == ["0 pictures", "1 picture", "2 pictures"]


def test_the_verb_goes_with_the_first_number():
    assert there_are((1, "picture"), (2, "mask")) == "there is 1 picture and 2 masks"
    assert there_are((3, "picture"), (1, "caption"), (0, "name")) == "there are 3 pictures, 1 caption and 0 names"
    assert there_are((2, "caption")) == "there are 2 captions"
