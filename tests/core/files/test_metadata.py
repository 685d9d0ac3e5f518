import pytest

from concept_atelier.core.files.json_texts import BadJsonError
from concept_atelier.core.files.metadata import map_in, number_in, numbers_in, texts_in


def test_entries_are_read_as_what_they_should_be():
    held = {"a": "2.5", "b": "[1, 2]", "c": '["x"]', "d": '{"e": 1}'}
    assert number_in(held, "a", "f", 1.0) == 2.5 and number_in(held, "z", "f", 1.0) == 1.0
    assert numbers_in(held, "b", "f") == [1.0, 2.0] and texts_in(held, "c", "f") == ["x"]
    assert map_in(held, "d", "f") == {"e": 1}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (
            lambda held: number_in(held, "a", "f", 1.0),
            "true",
            "a in the metadata of f is True, expected a finite",
        ),
        (lambda held: number_in(held, "a", "f", 1.0), "1e999", "is inf, expected a finite number"),
        (lambda held: numbers_in(held, "a", "f"), '["1"]', "an entry of a in the metadata of f is '1'"),
        (lambda held: texts_in(held, "a", "f"), "{}", "a in the metadata of f is a map, expected a list"),
        (lambda held: map_in(held, "a", "f"), "[", "a in the metadata of f is not a JSON file"),
        (lambda held: texts_in(held, "b", "f"), "[]", "f lacks b in its metadata"),
    ],
)
def test_odd_entries_are_refused_by_file_and_entry(read, text, message):
    with pytest.raises(BadJsonError, match=message):
        read({"a": text})
