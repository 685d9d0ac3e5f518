"""What ``bench lab`` asks, and how answers become figures."""

import json

import pytest
import torch

from concept_atelier.bench import drawing, lab
from concept_atelier.bench.harness import Request
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import Judge, Reading, build_network
from concept_atelier.lab.judge.scenes import colour_index
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.captions import NUMBERS, Phrase, plural
from concept_atelier.lab.world.scene import pair_split


@pytest.fixture(scope="module")
def guessing():
    """A judge at random weights."""
    return Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5, CounterNet())


def questions(split="test", count=64):
    return [question for index in range(count) for sheet in lab.ask(split, 0, index) for question in sheet]


def test_every_figure_is_asked_for_and_prompts_name_what_they_ask():
    for question in questions():
        for kind in question.kinds:
            assert any(said in question.prompt for word in kind.words for said in (word, plural(word)))
        if question.style:
            assert f"in {question.style} style" in question.prompt
        for kind, colour in zip(question.kinds, question.colours, strict=False):
            assert f"{colour} {kind.name}" in question.prompt
        if question.place:
            assert f"{question.kinds[0].name} {question.place}" in question.prompt
        if question.relation:
            first, second = question.kinds
            assert f"{first.name} {question.relation} a" in question.prompt and f" {second.name} in " in question.prompt
        if question.number:
            assert f"{NUMBERS[question.number]} {plural(question.kinds[0].name)}" in question.prompt
    drawn = {question.figure for question in questions()}
    assert drawn == set(lab.FIGURES) - {"vae_psnr", "judge_clean", "judge_vae", "judge_count"}


def test_objects_take_turns_and_pairs_are_the_splits():
    asked = [question for question in questions() if question.figure == "one_object"]
    trained = load_atlas().of_split("train")
    assert {question.kinds[0] for question in asked} == set(trained)
    for question in questions():
        if question.figure == "two_objects":
            assert pair_split(*(kind.name for kind in question.kinds)) == "test"


def test_synonyms_are_asked_for_in_the_same_sentence_and_from_the_same_noise():
    for index in range(20):
        (named, *_), (synonym, *_), _ = lab.ask("test", 3, index)
        kind = named.kinds[0]
        assert synonym.kinds == (kind,) and kind.name in named.prompt
        word = synonym.prompt.split()[-1]
        assert word in kind.synonyms
        opening = named.prompt.removesuffix(str(Phrase(kind.name)))
        assert synonym.prompt == f"{opening}{'an' if word[0] in 'aeiou' else 'a'} {word}"


def test_a_case_holds_an_answer_to_every_figure(untrained, guessing, monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 1)
    row = lab.measure((untrained, guessing), Request(1, split="test"), 0)
    assert set(row) == {"seed", *lab.FIGURES}
    assert json.loads(json.dumps(row)) == row
    assert row == lab.measure((untrained, guessing), Request(1, split="test"), 0)


def seen(**where):
    """A reading of one picture of 8x8 cells: of each kind, the cells on which it alone is seen, red unless blue."""
    kinds = [kind.name for kind in load_atlas().kinds]
    objects = torch.zeros(1, len(kinds) + 1, 8, 8)
    objects[0, -1] = 1
    styles, colours = torch.zeros(1, 4, 8, 8), torch.zeros(1, 7, 8, 8)
    styles[:, load_atlas().styles.index("neon")] = 1
    colours[:, colour_index("red")] = 1
    middles = torch.zeros(1, 2, 8, 8)
    for name, cells in where.items():
        for rows, columns in cells:
            down, across = torch.arange(rows.start, rows.stop), torch.arange(columns.start, columns.stop)
            middles[0, 0, rows, columns] = (down.float().mean() - down)[:, None]
            middles[0, 1, rows, columns] = across.float().mean() - across
            objects[0, :, rows, columns] = 0
            objects[0, kinds.index(name), rows, columns] = 1
            if name == "dog":
                colours[0, :, rows, columns] = 0
                colours[0, colour_index("blue"), rows, columns] = 1
    return Reading(objects, styles, colours, objects, middles)


CAT_LEFT, DOG_RIGHT = (slice(2, 5), slice(0, 3)), (slice(2, 5), slice(5, 8))


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        ({"style": "neon"}, True),
        ({"style": "flat"}, False),
        ({"kinds": "cat dog", "colours": ("red", "blue")}, True),
        ({"kinds": "cat dog", "colours": ("blue", "red")}, False),  # a colour that leaks to the other is wrong
        ({"kinds": "cat dog", "relation": "left of"}, True),
        ({"kinds": "cat dog", "relation": "right of"}, False),
        ({"kinds": "cat dog", "relation": "above"}, False),
        ({"place": "on the left"}, False),  # a dog is there as well, which nobody asked for
        ({"number": 1}, False),
    ],
)
def test_answers_are_right_where_the_picture_shows_what_was_asked(guessing, asked, right):
    kinds = tuple(load_atlas().kind(name) for name in asked.pop("kinds", "cat").split())
    reading = seen(cat=[CAT_LEFT], dog=[DOG_RIGHT])
    found = lab.answer(guessing, reading, 0, lab.Question("x", "", kinds, **asked), frozenset({"cat", "dog"}))
    assert found["right"] is right


@pytest.mark.parametrize(
    ("cells", "asked", "right"),
    [
        ([CAT_LEFT], {"place": "on the left"}, True),
        ([CAT_LEFT], {"place": "at the top"}, False),
        ([CAT_LEFT, DOG_RIGHT], {"number": 2}, True),
        ([CAT_LEFT, DOG_RIGHT], {"number": 3}, False),
        ([CAT_LEFT, (slice(7, 8), slice(7, 8))], {"number": 2}, False),  # one cell is no cat
    ],
)
def test_places_and_numbers_are_those_of_what_is_seen(guessing, cells, asked, right):
    question = lab.Question("x", "", (load_atlas().kind("cat"),), **asked)
    assert lab.answer(guessing, seen(cat=cells), 0, question, frozenset({"cat"}))["right"] is right


def answer(right, name="cat"):
    return {"prompt": "", "asked": [name], "found": [], "right": right}


def test_figures_are_means_and_the_table_names_what_fails():
    rows = []
    for number in range(4):
        row = {name: answer(number < 3) for name in lab.FIGURES}
        row |= {"one_object": answer(number < 3, "dog" if number == 3 else "cat"), "seed": number}
        rows.append(
            row | {"vae_psnr": 20.0 + number, "judge_clean": True, "judge_vae": number == 0, "judge_count": number > 0}
        )
    summary = lab.figures(rows, Request(4))
    assert summary["two_objects"]["mean"] == 0.75
    assert summary["vae_psnr"]["mean"] == 21.5
    judged = [summary[name]["mean"] for name in ("judge_clean", "judge_vae", "judge_count")]
    assert judged == [1, 0.25, 0.75]
    assert summary["per_object"] == {"cat": 1.0, "dog": 0.0}
    figures = lab.headline(summary)
    assert figures["two_objects"] == 0.75 and figures["judge_accuracy"] == (1 + 0.25) / 2
    text = lab.table({"cases": 4, "split": "test", "seed": 0, "summary": summary})
    assert "dog 0.00" in text and "cat" not in text and "0.95" in text
