import pytest

from concept_atelier.core.learn.parts.class_words import (
    check_different,
    need_classes,
    phrase,
    sentence,
)


def test_every_concept_needs_one_and_they_come_in_order():
    assert list(need_classes(("1", "2"), {"2": " dog ", "1": "cat"}, "x").items()) == [("1", "cat"), ("2", "dog")]
    with pytest.raises(ValueError, match="x finds concepts by the word for their kind, and 1, 3 has none.*1=cat"):
        need_classes(("1", "2", "3"), {"2": "dog", "3": " "}, "x")


def test_two_of_a_kind_are_refused_whatever_their_spelling():
    check_different({"1": "cat", "2": "cat face"}, "x")
    with pytest.raises(ValueError, match="of the class cat face"):
        check_different({"1": "cat  face", "2": "Cat Face"}, "x")


def test_phrases_and_sentences():
    assert phrase("1", {"1": "cat"}) == "<1> cat" and phrase("2", {"1": "cat"}) == "<2>"
    assert sentence(["<1> cat", "a dog"], "a photo of {}!") == "a photo of <1> cat and a dog!"
    with pytest.raises(ValueError, match="exactly one"):
        sentence(["x"], "{} {}")
