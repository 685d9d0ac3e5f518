"""Captions of a folder with relations in them, corrected and completed."""

import pytest
import torch

from concept_atelier.lab.model.vision import load_vision
from concept_atelier.nodes import CorrectAndPropagate

CAPTIONS = ["king, crown, throne"] * 12 + ["cat, grass"] * 8 + ["cat, sofa"] * 6 + ["king, crown"] * 2
WORDS = "king, cat, crown, throne, grass, sofa"


@pytest.fixture(scope="module")
def given():
    return {"captions": "\n".join([*CAPTIONS, "cat, grass"]), "vocabulary": WORDS}


def test_relatives_follow_a_correction(call, given):
    captions, scores, report = call(CorrectAndPropagate, **given, corrections="29: +king", classes="king, cat")
    last = captions.splitlines()[-1]
    assert "king" in last and "crown" in last and "cat" not in last
    assert captions.splitlines()[:-1] == CAPTIONS and scores.values.shape == (29, 6)
    assert "picture 29: +king; then" in report and "king changes crown by +" in report


def test_corrections_of_one_picture_on_two_lines_count_together(call, given):
    apart = call(CorrectAndPropagate, **given, corrections="29: +sofa\n29: -grass")
    together = call(CorrectAndPropagate, **given, corrections="29: +sofa, -grass")
    last = apart[0].splitlines()[-1]
    assert "sofa" in last and "grass" not in last
    assert apart[0] == together[0] and apart[2] == together[2] and torch.equal(apart[1].values, together[1].values)


def test_probable_concepts_complete_captions(call, given):
    lacking = "\n".join([*CAPTIONS, "king, throne"])
    captions, _, report = call(CorrectAndPropagate, captions=lacking, vocabulary=WORDS, complete=True)
    assert captions.splitlines()[-1] == "king, throne, crown" and "+ crown" in report
    assert call(CorrectAndPropagate, captions=lacking, vocabulary=WORDS)[0] == lacking


def test_pictures_count_too(call, given):
    pictures = torch.zeros(29, 32, 32, 3)
    pictures[:12, ..., 0], pictures[12:, ..., 2] = 1, 1
    pictures += 0.1 * torch.rand(29, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    shown = {"pictures": pictures.clamp(0, 1), "clip_vision": load_vision()}
    scores = call(CorrectAndPropagate, **given, **shown)[1]
    assert bool(torch.isfinite(scores.values).all())
    with pytest.raises(ValueError, match="connect both, or neither"):
        call(CorrectAndPropagate, **given, pictures=pictures)


def test_faults_are_named(call, given):
    for corrections, message in (
        ("king", "a correction is written as"),
        ("99: +king", "there are 29 captions"),
        ("1: +unicorn", "the vocabulary has no 'unicorn'"),
        ("1: king", "a correction is written as"),
        ("1: +cat\n1: -cat", "picture 1 is corrected to have 'cat' and not to have it"),
    ):
        with pytest.raises(ValueError, match=message):
            call(CorrectAndPropagate, **given, corrections=corrections)
    with pytest.raises(ValueError, match="exactly one of the classes"):
        call(CorrectAndPropagate, **given, classes="grass, sofa")
