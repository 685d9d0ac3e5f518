"""Captions read like sentences."""

import random

import pytest

from concept_atelier.lab.world.captions import Phrase, join, plural, write_caption


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        (Phrase("cat"), "a cat"),
        (Phrase("apple"), "an apple"),
        (Phrase("crab", colour="blue"), "a blue crab"),
        (Phrase("crab", "neon", "blue"), "a neon blue crab"),
        (Phrase("apple", size="large", place="on the left"), "a large apple on the left"),
        (Phrase("fox", colour="red", number=2), "two red foxes"),
        (Phrase("cat", again=True), "another cat"),
    ],
)
def test_phrases(phrase, said):
    assert str(phrase) == said


@pytest.mark.parametrize(
    ("word", "said"), [("cat", "cats"), ("fish", "fishes"), ("butterfly", "butterflies"), ("donkey", "donkeys")]
)
def test_plurals(word, said):
    assert plural(word) == said


def test_a_relation_stands_between_two():
    caption = write_caption(random.Random(0), [Phrase("cat"), Phrase("dog")], relation="left of", style="flat")
    assert caption.endswith("a cat left of a dog in flat style")


def test_join():
    assert [join(["a"]), join(["a", "b"]), join(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_style_and_background_come_last():
    caption = write_caption(random.Random(0), [Phrase("cat")], style="neon", background="blue dots")
    assert caption.endswith("a cat in neon style on blue dots")
