"""Captions read like sentences."""

import random

import pytest

from concept_atelier.lab.world.captions import Phrase, join, write_caption


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        (Phrase("cat"), "a cat"),
        (Phrase("apple"), "an apple"),
        (Phrase("crab", colour="blue"), "a blue crab"),
        (Phrase("crab", "noto", "blue"), "a noto blue crab"),
    ],
)
def test_phrases(phrase, said):
    assert str(phrase) == said


def test_join():
    assert [join(["a"]), join(["a", "b"]), join(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_style_and_background_come_last():
    caption = write_caption(random.Random(0), [Phrase("cat")], style="noto", background="blue dots")
    assert caption.endswith("a cat in noto style on blue dots")
