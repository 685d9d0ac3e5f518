import argparse
import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.bench.cases import make_case
from concept_atelier.bench.command import chosen_settings
from concept_atelier.bench.harness import Request, run
from concept_atelier.bench.localize.localize import (
    BENCH,
    COMPARED,
    CONTROLS,
    add_arguments,
    case_of_options,
    localized,
    main,
    score_case,
    settings_of,
    table,
)
from concept_atelier.bench.metrics import score_masks
from concept_atelier.bench.summary import summarise
from concept_atelier.core.localize.parts.observation import observe
from concept_atelier.core.localize.parts.pipeline import localize_observed
from concept_atelier.core.localize.parts.settings import PAPER, SMALL_GRID
from concept_atelier.core.localize.registry import METHODS

UNTRAINED = Request(8, seed=1, untrained=True)


@pytest.fixture(scope="module")
def result():
    return run(BENCH, UNTRAINED)


@pytest.fixture(scope="module")
def known(knowing):
    """Rows of 8 cases for a model that knows."""
    cases = [make_case("development", index, 1, (128, 128), False) for index in range(8)]
    seen = [knowing(case) for case in cases]
    return [score_case(case, one, localize_observed(one, SMALL_GRID)) for case, one in zip(cases, seen, strict=True)]


def mean(summary, method, resolution="pixel", metric="miou", group="all"):
    return summary[group]["scores"][method][resolution][metric]["mean"]


def test_attention_that_knows_the_objects_scores_near_the_ceiling(known):
    summary = summarise(known, 0)
    assert mean(summary, "concepts", "grid") > 0.85
    assert mean(summary, "concepts") > mean(summary, "ceiling") - 0.15
    assert mean(summary, "concepts", metric="ari") > 0.8
    assert mean(summary, "concepts", metric="count_error") < 0.3
    assert mean(summary, "kmeans_rows", "grid") > 0.7


def test_randomised_weights_make_the_figures_collapse(result, known):
    collapsed, knowing = result["summary"], summarise(known, 0)
    for resolution in ("grid", "pixel"):
        for metric, most in (("miou", 0.2), ("recall", 0.1), ("precision", 0.1), ("ari", 0.1)):
            assert mean(collapsed, "concepts", resolution, metric) < most
            assert mean(knowing, "concepts", resolution, metric) > most + 0.4
    # What needs no model stays as it was: same scenes, same baselines.
    for method in ("ceiling", "kmeans_colours", "random"):
        assert mean(collapsed, method) == mean(knowing, method)


def test_random_boxes_are_at_chance(result):
    assert abs(mean(result["summary"], "random", metric="ari")) < 0.2
    assert mean(result["summary"], "random") < 0.25 < 0.7 < mean(result["summary"], "ceiling")


def test_the_masks_of_another_scene_are_at_chance(result):
    assert mean(result["summary"], "shuffled") < 0.35
    for control in CONTROLS:
        assert control.figure(result["summary"]) <= control.at_most


def test_the_few_figures_have_names(result):
    figures = result["figures"]
    assert set(figures) == {
        *(
            "miou_grid",
            "miou_pixel",
            "miou_pixel_smooth",
            "ceiling_pixel",
            "ceiling_pixel_smooth",
            "recall",
            "precision",
            "count_error",
            "ari",
            "baselines",
        ),
    }
    assert figures["miou_pixel"] == mean(result["summary"], "concepts")
    assert figures["baselines"]["random"]["miou_pixel"] == mean(result["summary"], "random")


def test_scenes_may_touch_or_hold_two_of_a_kind():
    alike = make_case("test", 2, 0, (128, 128), False, alike=True)
    assert len(alike.names) == 3 and len(set(alike.names)) < 3
    touching, apart = (make_case("test", 1, 0, (128, 128), False, touching=t) for t in (True, False))
    assert spread(touching) and not spread(apart)


def spread(case):
    """Whether the first two masks touch."""
    grown = torch.nn.functional.max_pool2d(case.masks[:1].float(), 3, stride=1, padding=1)[0] > 0
    return bool((grown & case.masks[1]).any())


def test_cases_are_balanced(result):
    assert [row["objects"] for row in result["rows"]] == [1, 2, 3, 4] * 2
    assert [row["background"] for row in result["rows"]] == ["plain"] * 4 + ["patterned"] * 4
    groups = {name: group["cases"] for name, group in result["summary"].items()}
    assert groups == {
        "all": 8,
        **{f"objects={n}": 2 for n in (1, 2, 3, 4)},
        "background=patterned": 4,
        "background=plain": 4,
    }


def test_the_result_is_json_with_its_arguments_and_intervals(result):
    again = json.loads(json.dumps(result, allow_nan=False))
    assert (again["bench"], again["schema"], again["cases"], again["seed"]) == ("localize", 4, 8, 1)
    assert set(again["rows"][0]["scores"]) == set(COMPARED)
    for method, resolutions in again["summary"]["all"]["scores"].items():
        for metrics in resolutions.values():
            for value in metrics.values():
                assert value["low"] <= value["mean"] <= value["high"], method
    means = [row["scores"]["concepts"]["pixel"]["miou"] for row in again["rows"]]
    assert mean(again["summary"], "concepts") == pytest.approx(sum(means) / 8, abs=1e-4)


def test_same_seed_same_figures_and_other_seeds_other_scenes():
    first, again, other = (run(BENCH, replace(UNTRAINED, cases=1, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert {row["seed"] for row in first["rows"]}.isdisjoint(row["seed"] for row in other["rows"])


def test_the_table_names_every_method_and_group(result):
    text = table(result)
    for name in (*COMPARED.values(), *result["summary"], "95%"):
        assert name in text
    assert f"{mean(result['summary'], 'ceiling'):.3f}" in text


def test_case_masks_fit_the_picture():
    case = make_case("test", 3, 0, (64, 96), True)
    assert case.picture.shape == (1, 3, 64, 96) and case.masks.shape == (4, 64, 96)
    assert case.picture.min() >= 0 and case.picture.max() <= 1
    assert score_masks(case.masks, case.masks).miou == 1


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least 1 case"):
        Request(0)
    with pytest.raises(ValueError, match="no unseen objects"):
        run(BENCH, Request(1, split="train", untrained=True, options={"unseen": True}))
    with pytest.raises(ValueError, match="unknown split"):
        run(BENCH, Request(1, split="nowhere", untrained=True, options={"unseen": True}))


def test_the_command_writes_figures_and_prints_tables(tmp_path, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    file = tmp_path / "figures.json"
    assert (
        main(
            parser.parse_args(
                ["--cases", "1", "--untrained", "--json", str(file), "--split", "test", "--cache", str(tmp_path)]
            )
        )
        == 0
    )
    assert json.loads(file.read_text())["split"] == "test"
    assert "bench localize: 1 test scenes" in capsys.readouterr().out


def test_settings_can_be_changed_and_are_named(tmp_path, capsys):
    words = ["--cases", "1", "--untrained", "--cache", str(tmp_path), "--set", "noise_draws=1", "--set", "count=2"]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert main(parser.parse_args(words)) == 0
    assert "given nothing, noise_draws 1, count 2" in capsys.readouterr().out
    changed = settings_of({"settings": {"grid_weights": [1, 0], "outline": "smooth"}, "preset": "paper"}, 3)
    assert changed == replace(PAPER, grid_weights=(1, 0), outline="smooth")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("outline=smooth", "text in quotes"),
        ("count", "NAME=VALUE"),
        ("nothing=1", "no setting 'nothing'.*min_clusters"),
    ],
)
def test_settings_that_do_not_exist_are_refused_before_anything_is_loaded(given, says):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ValueError, match=says):
        main(parser.parse_args(["--set", given]))


def test_old_names_of_an_option_and_of_a_setting_are_still_read():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(["--told", "--set", "most_cells=100"])
    assert args.known_count and chosen_settings(args, PAPER) == {"max_cells": 100}


def test_every_method_is_measured_by_the_same_rows(untrained):
    """With the names, with the count, and by DiffSeg: the baselines stay the same, the concepts do not."""
    plain = BENCH.measure(untrained, UNTRAINED, 2)
    for options in ({"method": "attencraft"}, {"method": "diffseg"}, {"known_count": True}):
        row = BENCH.measure(untrained, replace(UNTRAINED, options=options), 2)
        assert row["scores"]["ceiling_edges"] == plain["scores"]["ceiling_edges"]
        assert row["scores"]["kmeans_colours"] == plain["scores"]["kmeans_colours"]
        assert set(row["scores"]["concepts"]) == {"grid", "pixel"}
        assert row["scores"]["concepts"]["grid"]["count_error"] <= 0 or "known_count" not in options


def test_another_hand_draws_the_same_scene_and_captions_are_as_asked():
    def case(**options):
        return case_of_options(replace(UNTRAINED, options=options), 5)

    fluent, noto = case(hand="fluent"), case(hand="noto")
    assert fluent.names == noto.names and fluent.caption == noto.caption
    assert not torch.equal(fluent.picture, noto.picture)
    short, complete = case(caption="short"), case(caption="complete")
    assert torch.equal(short.picture, complete.picture) and torch.equal(short.picture, case().picture)
    assert len(complete.caption) > len(short.caption)


def test_a_caption_is_shown_to_the_model(untrained, monkeypatch):
    prompts = []
    monkeypatch.setattr(
        "concept_atelier.bench.localize.localize.observe",
        lambda backbone, picture, settings, seed: (
            prompts.append(settings.prompt) or observe(backbone, picture, settings, seed)
        ),
    )
    case = case_of_options(replace(UNTRAINED, options={"caption": "complete"}), 1)
    for options in ({}, {"caption": "complete"}):
        BENCH.measure(untrained, replace(UNTRAINED, options=options), 1)
    assert prompts[1] == case.caption != prompts[0]


def test_names_that_are_not_found_are_no_concepts_and_say_why(untrained):
    case = make_case("test", 0, 1, (128, 128), False)
    nobody = replace(case, names=("one", "one"))
    found = localized(untrained, nobody, METHODS["attencraft"], METHODS["attencraft"].preset("small"))
    assert len(found) == 0 and found.grid == (16, 16) and "named twice" in found.notes[0]


def test_edges_raise_the_ceiling(result):
    assert mean(result["summary"], "ceiling_edges") > mean(result["summary"], "ceiling") + 0.05


@pytest.mark.parametrize(
    "words",
    [
        ["--method", "attencraft", "--alike"],
        ["--method", "diffseg", "--known-count"],
        ["--method", "diffseg", "--caption", "short"],
    ],
)
def test_what_a_method_cannot_take_is_refused(words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ValueError, match="only conceptexpress takes a count or a caption"):
        main(parser.parse_args([*words, "--cases", "1"]))


def test_the_global_generator_is_left_alone(untrained):
    before = torch.get_rng_state()
    BENCH.measure(untrained, UNTRAINED, 0)
    assert torch.equal(before, torch.get_rng_state())
