import pytest

from concept_atelier.core.json_texts import BadJsonError
from concept_atelier.core.metadata import map_in, number_in, numbers_in, texts_in


def test_entries_are_read_as_what_they_should_be():
    told = {"a": "2.5", "b": "[1, 2]", "c": '["x"]', "d": '{"e": 1}'}
    assert number_in(told, "a", "f", 1.0) == 2.5 and number_in(told, "z", "f", 1.0) == 1.0
    assert numbers_in(told, "b", "f") == [1.0, 2.0] and texts_in(told, "c", "f") == ["x"]
    assert map_in(told, "d", "f") == {"e": 1}


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (lambda told: number_in(told, "a", "f", 1.0), "true", "a in the metadata of f is True, expected a finite"),
        (lambda told: number_in(told, "a", "f", 1.0), "1e999", "is inf, expected a finite number"),
        (lambda told: numbers_in(told, "a", "f"), '["1"]', "an entry of a in the metadata of f is '1'"),
        (lambda told: texts_in(told, "a", "f"), "{}", "a in the metadata of f is a map, expected a list"),
        (lambda told: map_in(told, "a", "f"), "[", "a in the metadata of f is not a JSON file"),
        (lambda told: texts_in(told, "b", "f"), "[]", "f lacks b in its metadata"),
    ],
)
def test_odd_entries_are_refused_by_file_and_entry(read, text, message):
    with pytest.raises(BadJsonError, match=message):
        read({"a": text})
