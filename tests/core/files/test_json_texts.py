"""JSON of any kind is read, or refused in one sentence, in time that grows with its length."""

import time

import pytest

from concept_atelier.core.files import json_texts
from concept_atelier.core.files.json_texts import BadJsonError, a_list, a_map, a_text, a_whole, kind_of, parse_text


def test_ordinary_json_is_read_as_python_reads_it():
    text = '{"a": [1, -2.5, true, null, "]]]{{{\\"[\\u00e4"], "n": NaN, "big": 1e999}'
    value = parse_text(text, "w.json")
    assert value["a"] == [1, -2.5, True, None, ']]]{{{"[ä'] and value["big"] == float("inf")
    assert value["n"] != value["n"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 5000 + "]" * 5000, "w.json nests lists and maps more than 200 deep"),
        ('{"a":' * 100_000, "more than 200 deep"),
        ("[" * 201 + "]" * 201, "more than 200 deep"),
        (f"[{'9' * 5000}]", "w.json holds a number of 5000 digits; expected at most 300"),
        (f"[-{'9' * 5000}]", "digits"),
        ("", "w.json is not a JSON file"),
        ("{", "is not a JSON file"),
        ("[1 2]", "is not a JSON file"),
        ('["\\ud800', "is not a JSON file"),
    ],
    ids=["lists", "maps", "201", "digits", "negative", "empty", "open", "comma", "text"],
)
def test_bad_json_is_refused_in_one_sentence(text, said):
    with pytest.raises(BadJsonError) as caught:
        parse_text(text, "w.json")
    assert said in str(caught.value) and len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_records_hold_finite_numbers_only(number):
    with pytest.raises(BadJsonError, match="finite"):
        parse_text(f'{{"steps": {number}}}', "finished.json", finite=True)
    assert parse_text('{"steps": 3.5}', "finished.json", finite=True) == {"steps": 3.5}


def test_depth_is_that_of_brackets_outside_texts():
    assert parse_text("[" * 200 + "]" * 200, "w.json")
    assert parse_text('["' + "[{" * 5000 + '"]', "w.json") == ["[{" * 5000]
    assert parse_text('["' + '\\"[' * 5000 + '"]', "w.json") == ['"[' * 5000]


@pytest.mark.parametrize("text", ['"' + '\\"' * 1_000_000, '"' + '\\"' * 1_000_000 + "\\", '"' * 1_000_001])
def test_texts_that_never_end_take_linear_time(text):
    start = time.process_time()
    with pytest.raises(BadJsonError):
        parse_text(text, "w.json")
    assert time.process_time() - start < 20


def test_too_much_text_is_refused_unread(monkeypatch):
    monkeypatch.setattr(json_texts, "MAX_BYTES", 2**20)
    with pytest.raises(BadJsonError, match="w.json has 3 MB; JSON of more than 1 MB is not read"):
        parse_text(" " * (3 * 2**20), "w.json")


def test_shapes_are_reported_in_words():
    assert a_map({"a": 1}, "x") == {"a": 1} and a_list([1], "x") == [1] and a_text("t", "x") == "t"
    assert (a_whole(3, "x"), a_whole(3.0, "x")) == (3, 3)
    for check, value, said in [
        (a_map, [1], "the node is a list, expected a map"),
        (a_list, {}, "the node is a map, expected a list"),
        (a_text, None, "the node is nothing (null), expected a text"),
        (a_whole, True, "the node is True, expected a whole number"),
        (a_whole, float("nan"), "the node is nan, expected a whole number"),
        (a_whole, "3", "the node is '3', expected a whole number"),
    ]:
        with pytest.raises(BadJsonError) as caught:
            check(value, "the node")
        assert str(caught.value) == said
    assert kind_of(2.5) == "a number" and kind_of(False) == "true or false"
