"""What ``bench erase`` draws twice, and how it becomes figures."""

import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.__main__ import build_parser
from concept_atelier.bench import drawing
from concept_atelier.bench.cases import case_of
from concept_atelier.bench.command import load_parts
from concept_atelier.bench.erase import cases, erase
from concept_atelier.bench.erase import parts as shared
from concept_atelier.bench.erase.concepts import STYLE_EVERY, erased_in, kinds_of_turn, what_of
from concept_atelier.bench.erase.figures import FIGURES, figures, table
from concept_atelier.bench.erase.looks import OWN_COLOUR, looks_in, looks_kept
from concept_atelier.bench.harness import Request
from concept_atelier.lab.judge.counter import CounterNet
from concept_atelier.lab.judge.judge import Judge, build_network, load_judge
from concept_atelier.lab.world.atlas import load_atlas
from concept_atelier.lab.world.captions import Phrase
from concept_atelier.lab.world.scene import SceneSettings, sample_scene


@pytest.fixture(scope="module")
def parts():
    judge = Judge(build_network().eval(), tuple(kind.name for kind in load_atlas().kinds), 0.5, CounterNet())
    return shared.Parts(*load_parts(untrained=True), judge)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(drawing, "STEPS", 1)
    monkeypatch.setattr(cases, "OTHERS", 6)
    monkeypatch.setattr(cases, "TARGETS", 2)
    monkeypatch.setattr(cases, "BESIDE", 3)


def test_a_case_erases_an_object_and_every_fourth_a_style(parts):
    rows = [cases.measure(parts, Request(4), index) for index in (0, 3)]
    assert [row["what"] for row in rows] == ["object", "style"]
    assert json.loads(json.dumps(rows)) == rows
    first = rows[0]
    others = [entry["asked"] for entry in first["others"]]
    assert len(set(others)) == 6 and first["erased"] not in others
    assert sum(entry["neighbour"] for entry in first["others"]) == 4
    assert sum(entry["preserved"] for entry in first["others"]) == 3
    assert rows[1]["erased"] in load_atlas().styles and len(rows[1]["targets"]) == 2
    assert len({entry["asked"] for entry in rows[1]["others"]}) == 3


@pytest.mark.parametrize(
    ("method", "model", "preset"),
    [("esd", "transformer", "small_transformer"), ("esd", "", "small"), ("uce", "transformer", "small")],
)
def test_a_method_is_measured_with_the_preset_for_the_model(monkeypatch, method, model, preset):
    asked = []
    monkeypatch.setattr(erase, "run_command", lambda bench, args, options, controls: asked.append(options) or 0)
    given = ["bench", "erase", "--method", method, *(["--model", model] if model else [])]
    for more, wanted in ([], preset), (["--preset", "paper"], "paper"):
        argv = [*given, *more]
        assert erase.main(build_parser(argv).parse_args(argv)) == 0 and asked.pop()["preset"] == wanted


def test_objects_take_turns_around_the_styles():
    trained = load_atlas().of_split("train")

    def order(seed):
        turns = [what_of(Request(1), index) for index in range(2 * len(trained))]
        asked = Request(1, seed=seed, split="train")
        return [kinds_of_turn(asked, turn)[0].name for what, turn in turns if what == "object"][: len(trained)]

    assert sorted(order(0)) == sorted(kind.name for kind in trained) and order(1) != order(0)
    assert [what_of(Request(1), index) for index in (STYLE_EVERY - 1, 2 * STYLE_EVERY - 1)] == [
        ("style", 0),
        ("style", 1),
    ]


def test_several_objects_are_erased_together_and_no_turn_repeats_them(parts):
    request = Request(2, split="test", options={"what": "object", "concepts": 5})
    first, second = ([kind.name for kind in kinds_of_turn(request, turn)] for turn in (0, 1))
    assert len({*first, *second}) == 10
    row = cases.measure(parts, request, 0)
    assert row["what"] == "object" and row["erased"] == ", ".join(first)
    asked = [entry["asked"] for entry in row["targets"]]
    assert asked == [name for name in first for _ in range(2)]
    others = {entry["asked"] for entry in row["others"]}
    assert not others & set(first) and any(entry["neighbour"] for entry in row["others"])
    assert json.loads(json.dumps(row)) == row and figures([row], request)["found_after"] is not None


@pytest.mark.parametrize("what", ["style", "colour"])
def test_a_look_alone_is_erased_in_every_case(parts, what):
    request = Request(2, options={"what": what})
    rows = [cases.measure(parts, request, index) for index in (0, 1)]
    assert [row["what"] for row in rows] == [what] * 2 and rows[0]["erased"] != rows[1]["erased"]
    summary = figures(rows, request)
    assert summary[f"{what}_found_after"] and summary["found_after"] is None and summary["pairs_of_others"] == 0
    assert "erased" in table({"cases": 2, "seed": 0, "summary": summary})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--concepts 34 --split test", "1 to 33 objects"),
        ("--concepts 2 --what style", "one style at a time"),
        ("--what colour --controls 1", "leave --controls out"),
        ("--what style --synonyms listed", "leave --synonyms out"),
    ],
)
def test_what_no_case_can_erase_is_refused(words, said):
    words = ["bench", "erase", *words.split()]
    with pytest.raises(ValueError, match=said):
        erase.unusual_cases(build_parser(words).parse_args(words))


def test_listed_synonyms_are_erased_beside_the_names(parts, monkeypatch):
    given = []
    monkeypatch.setattr(cases, "erasure_of", lambda *a: given.append(a[2]) or shared.erasure_of(*a))
    words = ["bench", "erase", "--what", "object", "--synonyms", "listed"]
    options = erase.unusual_cases(build_parser(words).parse_args(words))
    turn = next(turn for turn in range(33) if kinds_of_turn(Request(1, split="test"), turn)[0].synonyms)
    kind = kinds_of_turn(Request(1, split="test"), turn)[0]
    row = cases.measure(parts, Request(40, split="test", options=options), turn)
    assert given == [[kind.name, *kind.synonyms]] and cases.words_of(Request(1), [kind]) == [kind.name]
    assert row["erased"] == kind.name and {one["asked"] for one in row["synonyms"]} == set(kind.synonyms)


def test_looks_are_those_of_the_scene():
    scenes = [sample_scene("train", seed, SceneSettings(counts=(1,))) for seed in range(8)]
    seen = looks_in(load_judge(), torch.cat([case_of(scene, 0).picture for scene in scenes]))
    asked = [{thing.name: [thing.style, thing.colour or OWN_COLOUR] for thing in scene.objects} for scene in scenes]
    assert seen == asked and len({str(list(one.values())) for one in seen}) > 3


def test_looks_count_where_an_object_is_found_both_times_and_chance_is_of_different_objects():
    flat, neon = ["flat", "own"], ["neon", "own"]
    entries = [{"looks": both} for both in ([flat, flat], [flat, neon], [neon, neon], [flat, None], [None, None])]
    found = looks_kept(entries)
    assert found == {
        "kept_style": pytest.approx(2 / 3),
        "kept_style_chance": pytest.approx(1 / 3),
        "kept_colour": 1,
        "kept_colour_chance": 1,
    }
    assert looks_kept([{"looks": [flat, neon]}]) == {"kept_style": 0, "kept_colour": 1}
    assert looks_kept([{"asked": "dog"}]) == {}


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_tuned_on_is_not_what_is_tested_on(seed):
    tested, tuned = ({kind.name for kind in erased_in(split, seed)} for split in ("test", "development"))
    assert not tested & tuned and len(tested) == 33
    assert tested | tuned == {kind.name for kind in load_atlas().of_split("train")}


def test_the_erased_word_changes_its_pictures_and_strength_zero_would_not(parts):
    edit = shared.erasure_of(parts.backbone, Request(1), ["cat"], ["dog"])
    before, after = (drawing.draw(b, ["a photo of a cat"], 0) for b in (parts.backbone, parts.without(edit)))
    assert not torch.equal(before, after)
    assert torch.equal(before, drawing.draw(parts.backbone, ["a photo of a cat"], 0))


def test_the_control_erases_something_else_than_the_concept(parts):
    edit = shared.erasure_of(parts.backbone, Request(1), ["cat"], [])
    noise = shared.erasure_of(parts.backbone, Request(1, options={"random_vector": True}), ["cat"], [])
    assert edit.factors.keys() == noise.factors.keys()
    name = next(iter(edit.factors))
    assert not torch.allclose(edit.factors[name].dense(), noise.factors[name].dense())
    assert "<noise>" in json.dumps(dict(noise.metadata))


def test_the_nearest_names_are_sorted_and_without_the_name_itself(parts):
    kind = load_atlas().kind("cat")
    found = shared.nearest(parts.backbone, kind)
    assert kind not in found and len(found) == len(load_atlas().of_split("train")) - 1


def test_both_ways_asks_every_phrase_once(parts):
    cat = load_atlas().kind("cat")
    entries = shared.both_ways(parts, parts.backbone, [(Phrase("cat"), cat), (Phrase("kitty"), cat)], [0, 1])
    assert [entry["asked"] for entry in entries] == ["cat", "kitty"]
    assert all(entry["before"] == entry["after"] for entry in entries)
    assert all(
        was == now and (was is not None) == entry["before"] for entry in entries for was, now in [entry["looks"]]
    )
    assert shared.both_ways(parts, parts.backbone, [], []) == []


def test_a_picture_before_is_drawn_once_whatever_stands_beside_it(parts, monkeypatch):
    drawn = []

    def draw(backbone, prompts, seeds):
        drawn.extend(zip(prompts, seeds, strict=True))
        return drawing.draw(backbone, prompts, seeds)

    monkeypatch.setattr(shared, "draw", draw)
    fresh = replace(parts, seen={})
    together = fresh.found_before(["a cat", "a dog", "a cat"], [1, 1, 1])
    assert drawn == [("a cat", 1), ("a dog", 1)] and together[0] == together[2]
    assert fresh.found_before(["a dog", "a cat"], [1, 2])[0] == together[1]
    assert drawn[2:] == [("a cat", 2)]


def test_seeds_come_back_after_some_turns():
    seeds = [shared.noise_seed(Request(1), Phrase("cat"), turn) for turn in range(shared.SEEDS + 1)]
    assert seeds[-1] == seeds[0] and len(set(seeds)) == shared.SEEDS
    assert shared.noise_seed(Request(1, seed=1), Phrase("cat"), 0) not in seeds


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
    summary = figures([row, row, style, beside], Request(4))
    means = {name: value and value["mean"] for name, value in summary.items() if name in FIGURES}
    assert means["found_before"] == 1 and means["found_after"] == 0.5
    assert means["others_before"] == 1 and means["others_after"] == 0.5
    assert (means["preserved_after"], means["free_after"], means["neighbours_after"]) == (1, 0, 0)
    assert (means["style_found_before"], means["style_found_after"]) == (1, 0)
    assert (means["style_others_before"], means["style_others_after"]) == (1, 0.5)
    assert means["found_after_synonym"] is None and means["kept_style"] is None
    assert summary["pairs_of_others"] == 4
    text = table({"cases": 3, "seed": 0, "summary": summary})
    assert "4 same-seed pairs" in text and "dog lost" in text
