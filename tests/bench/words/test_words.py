"""``bench words``: words with exact masks, scores of known maps, and runs on models that know nothing."""

import argparse
import json

import pytest
import torch

from concept_atelier.bench.harness import Request, run
from concept_atelier.bench.words import words
from concept_atelier.bench.words.cases import KINDS, Word, clear_words, make_word_case
from concept_atelier.core.backbone import Token, TokenizedText
from concept_atelier.host.adapters import backbone_of
from concept_atelier.lab.judge.judge import load_judge


@pytest.fixture(scope="module")
def transformer(lab_transformer):
    return backbone_of(*lab_transformer)


def said(caption):
    """A text of plain words."""
    parts = caption.replace(",", " ,").split()
    return TokenizedText(tuple(Token(part, at, at) for at, part in enumerate(parts, 1)), 0, len(parts) + 1, 99)


def test_cases_say_all_of_which_they_have_masks():
    counts, backgrounds = [], []
    for index in range(6):
        case = make_word_case("development", index, 0)
        counts.append(case.objects)
        backgrounds.append(case.background)
        assert {word.kind for word in case.words} == set(KINDS)
        for word in case.words:
            assert word.text in case.caption and word.mask.any() and word.mask.shape == (128, 128)
        names = [word for word in case.words if word.kind == "name"]
        behind = next(word for word in case.words if word.kind == "background")
        assert len(names) == case.objects
        assert torch.equal(behind.mask, ~torch.stack([word.mask for word in names]).any(0))
        again = make_word_case("development", index, 0)
        assert torch.equal(case.picture, again.picture) and case.caption == again.caption
    assert counts == [1, 2, 3, 1, 2, 3] and backgrounds == ["plain"] * 3 + ["patterned"] * 3


@pytest.mark.parametrize("option", ["--controls=2", "--deletion", "--redundancy"])
def test_what_a_sweep_does_not_measure_is_refused_before_anything_is_loaded(option):
    parser = argparse.ArgumentParser()
    words.add_arguments(parser)
    with pytest.raises(ValueError, match=f"a sweep measures names alone, without {option.partition('=')[0]}"):
        words.main(parser.parse_args(["--sweep", option, "--cases", "1", "--fresh"]))


def test_a_style_of_several_objects_belongs_to_all_of_them():
    case = next(
        case
        for case in (make_word_case("development", index, 0) for index in range(1, 30, 3))
        if len([word for word in case.words if word.kind == "style"]) == 1
    )
    style = next(word for word in case.words if word.kind == "style")
    assert torch.equal(style.mask, torch.stack([word.mask for word in case.words if word.kind == "name"]).any(0))


def test_words_that_are_said_of_two_things_or_not_at_all_are_left_out():
    mask = torch.ones(2, 2, dtype=torch.bool)
    found = [
        Word(kind, text, mask)
        for kind, text in (
            ("name", "cat"),
            ("colour", "red"),
            ("colour", "blue"),
            ("style", "neon"),
            ("background", "red stripes"),
        )
    ]
    clear = clear_words(tuple(found), said("a red cat and a blue dog on red stripes"))
    assert [word.text for word in clear] == ["cat", "blue", "red stripes"]


def test_the_map_of_a_mask_is_right_and_one_that_sees_nothing_is_wrong():
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 1:5] = True
    exact = words.score_map(mask.float(), mask, ~mask)
    assert exact == {
        "iou": 1.0, "iou_otsu": 1.0, "iou_mean": 1.0, "iou_best": 1.0, "point": 1.0, "shuffled": 0.0
    }  # fmt: skip
    soft = torch.where(mask, 0.3, 0.0)
    soft[0, 7] = 1.0  # one cell that stands out
    scored = words.score_map(soft, mask, mask)
    assert scored["iou"] == 0.0 and scored["iou_mean"] == scored["iou_best"] == round(16 / 17, 4)
    assert words.score_map(torch.zeros(8, 8), mask, mask)["iou"] == 0.0


@pytest.mark.parametrize("options", [{}, {"noise": 0.2}, {"maps": "concepts"}, {"maps": "both", "levels": 2}], ids=str)
def test_rows_and_figures_on_models_that_know_nothing(untrained, transformer, options):
    for backbone in (transformer,) if options.get("maps") == "concepts" else (untrained, transformer):
        request = Request(2, options=options)
        rows = [words.measure((backbone, None), request, index) for index in range(2)]
        assert json.loads(json.dumps(rows)) == rows
        found = words.figures(rows, request)["all"]
        assert set(found) <= set(KINDS) and found["name"]["words"] == 3
        for kind in found.values():
            assert 0 <= max(kind["iou"]["mean"], kind["iou_mean"]["mean"]) <= kind["iou_best"]["mean"] <= 1


@pytest.mark.parametrize("maps", ["attention", "concepts"])
def test_a_sweep_has_every_layer_at_every_noise(transformer, monkeypatch, maps):
    monkeypatch.setattr(words, "NOISES", (0.2, 0.8))
    request = Request(1, options={"sweep": True, "maps": maps})
    rows = [words.measure((transformer, None), request, 0)]
    names = ["all", *(site.name for site in transformer.attention_sites())]
    assert list(rows[0]["scores"]) == [f"{name} at {noise}" for noise in ("0.2", "0.8") for name in names]
    assert len({row["name"][0]["iou_best"] for row in rows[0]["scores"].values()}) > 2  # layers differ
    summary = words.figures(rows, request)
    result = {"cases": 1, "split": "development", "seed": 0, "options": request.options, "summary": summary}
    lines = words.table(result).splitlines()
    assert lines[1].split() == ["layer", "noise", "0.2", "noise", "0.8"] and len(lines) == 2 + len(names)
    best = words.headline(summary)
    assert best["name"] == max(found["name"]["iou"]["mean"] for found in summary.values())


def test_a_unet_has_no_maps_of_concepts():
    with pytest.raises(ValueError, match="maps of concepts need a transformer"):
        run(words.BENCH, Request(1, untrained=True, options={"maps": "concepts"}))


def test_the_lab_model_sees_what_random_weights_do_not(untrained):
    from concept_atelier.bench.command import load_backbone

    request = Request(2)
    means = []
    for backbone in (load_backbone(), untrained):
        rows = [words.measure((backbone, None), request, index) for index in range(2)]
        means.append(words.figures(rows, request)["all"]["name"]["iou"]["mean"])
    assert means[0] > 0.4 > 0.25 > means[1]


def test_short_captions_say_the_names_alone():
    case, whole = (make_word_case("development", 1, 0, caption) for caption in ("short", "complete"))
    names = [word.text for word in case.words if word.kind == "name"]
    assert case.caption == f"a photo of a {names[0]} and a {names[1]}" and torch.equal(case.picture, whole.picture)
    assert [word.text for word in clear_words(case.words, said(case.caption))] == names


def test_deleting_the_right_region_loses_the_object_and_another_does_not():
    judge = load_judge()
    case = make_word_case("development", 0, 0)
    (name,) = [word for word in case.words if word.kind == "name"]
    assert words.deletion(judge, case.picture, name.text, name.mask.float())["gone"] == 1.0
    corner = torch.zeros(128, 128)
    corner[:8, :8] = 1
    assert words.deletion(judge, case.picture, name.text, corner)["gone"] == 0.0
    assert words.deletion(judge, torch.full((1, 3, 128, 128), 0.5), name.text, corner) == dict.fromkeys(words.DELETED)
