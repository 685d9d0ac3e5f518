"""What ``bench lab`` asks, and how answers become figures."""

import json

import pytest

from concept_atelier.lab.bench import drawing, lab
from concept_atelier.lab.bench.harness import Request
from concept_atelier.lab.judge.judge import Judge, build_network
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.captions import Phrase
from concept_atelier.lab.world.scene import pair_split


@pytest.fixture(scope="module")
def guessing():
    """A judge at random weights."""
    return Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5)


def questions(split="test", count=64):
    return [question for index in range(count) for sheet in lab.ask(split, 0, index) for question in sheet]


def test_every_figure_is_asked_for_and_prompts_name_what_they_ask():
    for question in questions():
        for kind in question.kinds:
            assert any(word in question.prompt for word in kind.words)
        if question.style:
            assert f"in {question.style} style" in question.prompt
        if question.colour:
            assert f"{question.colour} {question.kinds[0].name}" in question.prompt
    drawn = {question.figure for question in questions()}
    assert drawn == set(lab.FIGURES) - {"vae_psnr", "judge_clean", "judge_vae"}


def test_objects_take_turns_and_pairs_are_the_splits():
    asked = [question for question in questions() if question.figure == "one_object"]
    trained = load_atlas().of_split("train")
    assert {question.kinds[0] for question in asked} == set(trained)
    for question in questions():
        if question.figure == "two_objects":
            assert pair_split(*(kind.name for kind in question.kinds)) == "test"


def test_synonyms_are_asked_for_in_the_same_sentence_and_from_the_same_noise():
    for index in range(20):
        (named, *_), (synonym, *_) = lab.ask("test", 3, index)
        kind = named.kinds[0]
        assert synonym.kinds == (kind,) and kind.name in named.prompt
        word = next(word for word in kind.synonyms if word in synonym.prompt)
        opening = named.prompt.removesuffix(str(Phrase(kind.name)))
        assert synonym.prompt == f"{opening}{'an' if word[0] in 'aeiou' else 'a'} {word}"


def test_a_case_holds_an_answer_to_every_figure(untrained, guessing, monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 1)
    row = lab.measure((untrained, guessing), Request(1, split="test"), 0)
    assert set(row) == {"seed", *lab.FIGURES}
    assert json.loads(json.dumps(row)) == row
    assert row == lab.measure((untrained, guessing), Request(1, split="test"), 0)


def answer(right, name="cat"):
    return {"prompt": "", "asked": [name], "found": [], "right": right}


def test_figures_are_means_and_the_table_names_what_fails():
    rows = []
    for number in range(4):
        row = {name: answer(number < 3) for name in lab.FIGURES}
        row |= {"one_object": answer(number < 3, "dog" if number == 3 else "cat"), "seed": number}
        rows.append(row | {"vae_psnr": 20.0 + number, "judge_clean": True, "judge_vae": number == 0})
    summary = lab.figures(rows, Request(4))
    assert summary["two_objects"]["mean"] == 0.75
    assert summary["vae_psnr"]["mean"] == 21.5
    assert (summary["judge_clean"]["mean"], summary["judge_vae"]["mean"]) == (1, 0.25)
    assert summary["per_object"] == {"cat": 1.0, "dog": 0.0}
    figures = lab.headline(summary)
    assert figures["two_objects"] == 0.75 and figures["judge_accuracy"] == (1 + 0.25) / 2
    text = lab.table({"cases": 4, "split": "test", "seed": 0, "summary": summary})
    assert "dog 0.00" in text and "cat" not in text and "0.95" in text
