"""Corrections of captions, written back."""

import torch

from concept_atelier.host.jobs.recognise.correcting import Folder, caption_of, correct

CONCEPTS = ("cat", "dog", "crown")


def tags(*names):
    return torch.tensor([name in names for name in CONCEPTS])


def test_a_part_goes_in_the_plural_too_and_what_comes_stands_behind():
    assert caption_of("Cats, dog", tags("cat", "dog"), tags("dog"), CONCEPTS) == "dog"
    assert caption_of("dog", tags("dog"), tags("dog", "crown"), CONCEPTS) == "dog, crown"
    assert caption_of("a catalogue, cat", tags("cat"), tags(), CONCEPTS) == "a catalogue"


def test_what_stands_inside_a_sentence_is_said_to_be_left():
    texts = ["a photo of a cat and a dog", "cat, dog", "dog", "crown"]
    folder = Folder(texts, ["a.png", "b.png", "c.png", "d.png"], CONCEPTS, ())
    found = correct(folder, "1: -cat\n2: -cat", None, None)
    assert found.texts[:2] == ["a photo of a cat and a dog", "dog"]
    assert (
        "a.png: cat stands inside a sentence; take it out by hand" in found.report
        and "b.png: cat stands" not in found.report
    )
