"""What ``bench erase`` draws twice, and how it becomes figures."""

import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.bench import drawing, erase
from concept_atelier.bench.command import load_parts
from concept_atelier.bench.harness import Request
from concept_atelier.lab.judge.judge import Judge, build_network
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.captions import Phrase


@pytest.fixture(scope="module")
def parts():
    judge = Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5)
    return erase.Parts(*load_parts(untrained=True), judge)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 1)
    monkeypatch.setattr(erase, "OTHERS", 6)
    monkeypatch.setattr(erase, "TARGETS", 2)
    monkeypatch.setattr(erase, "BESIDE", 3)


def test_a_case_erases_an_object_and_every_fourth_a_style(parts):
    rows = [erase.measure(parts, Request(4), index) for index in (0, 3)]
    assert [row["what"] for row in rows] == ["object", "style"]
    assert json.loads(json.dumps(rows)) == rows
    first = rows[0]
    others = [entry["asked"] for entry in first["others"]]
    assert len(set(others)) == 6 and first["erased"] not in others
    assert sum(entry["neighbour"] for entry in first["others"]) == 4
    assert sum(entry["preserved"] for entry in first["others"]) == 3
    assert rows[1]["erased"] in load_atlas().styles and len(rows[1]["targets"]) == 2
    assert len({entry["asked"] for entry in rows[1]["others"]}) == 3


def test_objects_take_turns_around_the_styles():
    trained = load_atlas().of_split("train")
    indexes = [index for index in range(2 * len(trained)) if index % erase.STYLE_EVERY != erase.STYLE_EVERY - 1]
    kinds = [erase.kind_of_turn(0, index, "train") for index in indexes[: len(trained)]]
    assert sorted(kind.name for kind in kinds) == sorted(kind.name for kind in trained)
    assert [erase.kind_of_turn(1, index, "train") for index in indexes[: len(trained)]] != kinds


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_tuned_on_is_not_what_is_tested_on(seed):
    tested, tuned = ({kind.name for kind in erase.erased_in(split, seed)} for split in ("test", "development"))
    assert not tested & tuned and len(tested) == 33
    assert tested | tuned == {kind.name for kind in load_atlas().of_split("train")}


def test_the_erased_word_changes_its_pictures_and_strength_zero_would_not(parts):
    edit = erase.erasure_of(parts.backbone, Request(1), "cat", ["dog"])
    before, after = (drawing.draw(b, ["a photo of a cat"], 0) for b in (parts.backbone, parts.without(edit)))
    assert not torch.equal(before, after)
    assert torch.equal(before, drawing.draw(parts.backbone, ["a photo of a cat"], 0))


def test_the_control_erases_something_else_than_the_concept(parts):
    edit = erase.erasure_of(parts.backbone, Request(1), "cat", [])
    noise = erase.erasure_of(parts.backbone, Request(1, options={"random_vector": True}), "cat", [])
    assert edit.factors.keys() == noise.factors.keys()
    name = next(iter(edit.factors))
    assert not torch.allclose(edit.factors[name].dense(), noise.factors[name].dense())
    assert "<noise>" in json.dumps(dict(noise.metadata))


def test_the_nearest_names_are_sorted_and_without_the_name_itself(parts):
    kind = load_atlas().kind("cat")
    found = erase.nearest(parts.backbone, kind)
    assert kind not in found and len(found) == len(load_atlas().of_split("train")) - 1


def test_both_ways_asks_every_phrase_once(parts):
    cat = load_atlas().kind("cat")
    entries = erase.both_ways(parts, parts.backbone, [(Phrase("cat"), cat), (Phrase("kitty"), cat)], [0, 1])
    assert [entry["asked"] for entry in entries] == ["cat", "kitty"]
    assert all(entry["before"] == entry["after"] for entry in entries)
    assert erase.both_ways(parts, parts.backbone, [], []) == []


def test_a_picture_before_is_drawn_once_whatever_stands_beside_it(parts, monkeypatch):
    drawn = []

    def draw(backbone, prompts, seeds):
        drawn.extend(zip(prompts, seeds, strict=True))
        return drawing.draw(backbone, prompts, seeds)

    monkeypatch.setattr(erase, "draw", draw)
    fresh = replace(parts, seen={})
    together = fresh.found_before(["a cat", "a dog", "a cat"], [1, 1, 1])
    assert drawn == [("a cat", 1), ("a dog", 1)] and together[0] == together[2]
    assert fresh.found_before(["a dog", "a cat"], [1, 2])[0] == together[1]
    assert drawn[2:] == [("a cat", 2)]


def test_seeds_come_back_after_some_turns():
    seeds = [erase.noise_seed(Request(1), Phrase("cat"), turn) for turn in range(erase.SEEDS + 1)]
    assert seeds[-1] == seeds[0] and len(set(seeds)) == erase.SEEDS
    assert erase.noise_seed(Request(1, seed=1), Phrase("cat"), 0) not in seeds


def entry(before, after, **flags):
    return {"asked": "dog", "before": before, "after": after, **flags}


def test_figures_are_means_over_cases_and_pairs_are_counted():
    others = [entry(True, True, preserved=True, neighbour=False), entry(True, False, preserved=False, neighbour=True)]
    row = {
        "what": "object",
        "erased": "cat",
        "targets": [entry(True, False), entry(True, True)],
        "synonyms": [],
        "others": others,
    }
    style = {"what": "style", "erased": "neon", "targets": [entry(True, False)], "synonyms": [], "others": []}
    beside = style | {"others": [entry(True, True, preserved=True), entry(True, False, preserved=False)]}
    summary = erase.figures([row, row, style, beside], Request(4))
    means = {name: value and value["mean"] for name, value in summary.items() if name in erase.FIGURES}
    assert means["found_before"] == 1 and means["found_after"] == 0.5
    assert means["others_before"] == 1 and means["others_after"] == 0.5
    assert (means["preserved_after"], means["free_after"], means["neighbours_after"]) == (1, 0, 0)
    assert (means["style_found_before"], means["style_found_after"]) == (1, 0)
    assert (means["style_others_before"], means["style_others_after"]) == (1, 0.5)
    assert means["found_after_synonym"] is None
    assert summary["pairs_of_others"] == 4
    text = erase.table({"cases": 3, "seed": 0, "summary": summary})
    assert "4 same-seed pairs" in text and "dog lost" in text
