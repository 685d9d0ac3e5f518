import pytest
import torch

from concept_atelier.core.prompts.chunks import (
    boundary_probabilities,
    chunk_words,
    line_breaks,
    possible_starts,
)
from concept_atelier.core.prompts.spans import word_spans


def rows_at(*angles):
    """Rows that stand at angles in degrees."""
    radians = torch.tensor(angles).deg2rad()
    return torch.stack([radians.cos(), radians.sin()], 1)


def test_boundaries_of_known_angles():
    p = boundary_probabilities(rows_at(0.0, 0.0, 90.0, 270.0))
    torch.testing.assert_close(p, torch.tensor([1.0, 0.0, 0.5, 1.0], dtype=torch.float64))
    assert boundary_probabilities(torch.empty(0, 3)).tolist() == []


def test_phrases_begin_where_the_encoding_changes():
    words = ["a", "red", "cat", "at", "the", "left", "and", "a", "dog"]
    found = chunk_words(words, rows_at(0.0, 0.0, 10.0, 10.0, 12.0, 14.0, 14.0, 14.0, 120.0))
    assert [(chunk.first, chunk.last) for chunk in found.found] == [(0, 5), (6, 8)]
    assert found.boundaries == pytest.approx(2 / 9) and found.ratio == pytest.approx(4.5)
    fine = chunk_words(words, rows_at(0.0, 0.0, 10.0, 10.0, 12.0, 14.0, 14.0, 14.0, 120.0), share=0)
    assert [chunk.first for chunk in fine.found] == [0, 3, 6]


def test_like_words_are_one_phrase_unless_punctuation_stands_between():
    assert len(chunk_words(["cat", "cat", "cat"], rows_at(5.0, 5.0, 5.0)).found) == 1
    tags = chunk_words(["cat", ",", "best", "picture", ",", "dog"], rows_at(*[5.0] * 6))
    assert [chunk.first for chunk in tags.found] == [0, 2, 5]


def test_every_word_is_in_one_phrase(generator):
    words = ["a", "of", "cat", ",", "in", "the", "the", "hat", ",", ",", "."]
    for share in (0, 0.3, 0.7, 1):
        found = chunk_words(words, torch.randn(len(words), 5, generator=generator), share).found
        held = [number for chunk in found for number in range(chunk.first, chunk.last + 1)]
        assert held == list(range(len(words)))
    assert chunk_words([], torch.empty(0, 4)).found == ()
    assert possible_starts(words) == [0, 4]


def test_lines_hold_whole_phrases():
    assert line_breaks([30, 30, 30, 80, 5], 75) == [[0, 1], [2], [3], [4]]
    assert line_breaks([], 75) == []
    with pytest.raises(ValueError, match="room"):
        line_breaks([1], 0)


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="2 words and 3 rows"):
        chunk_words(["a", "b"], torch.ones(3, 2))
    with pytest.raises(ValueError, match="share"):
        chunk_words(["a"], torch.ones(1, 2), 1.5)


@pytest.mark.parametrize(
    ("text", "words", "slices"),
    [
        ("A red  Cat, a dog", ["a", "red", "cat", ",", "a", "dog"], ["A", "red", "Cat", ",", "a", "dog"]),
        (r"cat \(wet\)", ["cat", "(", "wet", ")"], ["cat", "(", "wet", ")"]),
        ("İz cat", ["i\u0307z", "cat"], ["İz", "cat"]),
        ("naïve cat", ["naive", "cat"], ["naïve", "cat"]),
        ("a <Apple> b", ["a", "<apple>", "b"], ["a", "<Apple>", "b"]),
    ],
)
def test_words_are_found_in_the_text_as_written(text, words, slices):
    assert [text[first:last] for first, last in word_spans(text, words)] == slices
