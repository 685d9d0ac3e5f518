"""Attack Erasure and Erasure Report over a small model: figures, pictures, files, and models left as they were."""

import csv
import io
import json
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.registry import SCENARIOS
from concept_atelier.nodes import (
    AttackErasure,
    EraseConcepts,
    ErasureReport,
    GuardAgainstConcepts,
    LoadLabClipVision,
)

QUICK = (
    "draws=2, steps=1, side=64, batch=8, shown=2, learn_steps=1, inversion_passes=1, relearn_steps=1, relearn_every=1, "
    "relearn_rank=1"
)


@pytest.fixture(scope="module")
def erased(call, sockets):
    """MODEL, ERASURE and CLIP without cats."""
    return call(EraseConcepts, model=sockets["model"], clip=sockets["clip"], concepts="cat", preset="small").args


@pytest.fixture(scope="module")
def given(call, sockets, erased):
    """An erased model beside the original, and a picture encoder."""
    return {**sockets, "erased_model": erased[0], "clip_vision": call(LoadLabClipVision)[0], "settings": QUICK}


@pytest.fixture(scope="module")
def drawn_before(given, draw):
    """What both models draw before anything is attacked."""
    return [draw(given[name])["samples"] for name in ("model", "erased_model")]


@pytest.fixture(scope="module")
def attacked(call, given, drawn_before):
    """Every scenario, on pictures that are given."""
    shown = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    return call(
        AttackErasure, **given, others="dog, car", synonyms="kitty", relatives="animal", scenarios="all", pictures=shown
    )


def test_every_scenario_has_its_figures_and_pictures(attacked):
    found, sheet, said = attacked.args
    assert not found.left_out and len(found.outcomes) == len(SCENARIOS)
    for outcome in found.outcomes:
        figure = outcome.figure
        assert all(0 <= value <= 1 for value in (figure.found, figure.floor, figure.ceiling))
        assert outcome.scenario.title in said and figure.pictures == 2
    assert sheet.shape[0] == 1 and sheet.shape[3] == 3 and len(said.splitlines()) == 1 + len(SCENARIOS)
    assert attacked.ui["text"][0] == said


def test_the_models_draw_as_before(drawn_before, attacked, given, draw):
    """After all trainings and inversions both models still draw what they drew."""
    original, erased = drawn_before
    assert torch.equal(draw(given["model"])["samples"], original)
    assert torch.equal(draw(given["erased_model"])["samples"], erased)
    assert not torch.equal(original, erased)


def test_the_page_and_its_files(call, given, attacked, files_below):
    words = {"concepts": "cat", "synonyms": "kitty", "neighbours": "dog", "others": "car"}
    page, table, body = call(ErasureReport, **given, **words, attack=attacked[0]).args
    assert files_below() == [f"out/reports/erasure_00001_.{ending}" for ending in ("csv", "json")]
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["what"] for row in rows[:4]] == ["Erased concepts", "cat", "Their synonyms", "kitty"]
    assert {row["part"] for row in rows} >= {"words", "erased", "neighbours", "kept pictures", "attack", "cost"}
    style = next(row for row in rows if row["part"] == "kept styles")
    assert 0 <= float(style["style distance"]) < float(style["style distance of other noise"]) <= 1
    read = json.loads(body)
    assert [row["what"] for row in read["rows"]] == [row["what"] for row in rows]
    assert [step for step, _ in read["curves"]["relearning"]] == [0, 1] and read["settings"]["draws"] == 2
    assert page.shape[0] == 1 and page.shape[1] > page.shape[2] / 2


def test_the_page_says_the_method_of_the_erasure_and_how_long_it_took(call, given, erased, files_below):
    words = {"concepts": "cat", "synonyms": "", "neighbours": "dog", "others": "car", "filename_prefix": ""}
    lists = {"concepts": ["cat"], "anchors": [""], "preserve": [], "strength": 1.0}
    for edit, said in ((erased[1], "UCE, "), (replace(erased[1], seconds=None), "UCE, time not known")):
        body = json.loads(call(ErasureReport, **given, **words, erasure=edit)[2])
        row = next(row for row in body["rows"] if row["what"] == "The erasure")
        assert row["part"] == "cost" and row["verdict"].startswith(said)
        assert body["erasure"] == {"method": "uce", **lists, "seconds": edit.seconds and round(edit.seconds, 3)}
    assert 0 < erased[1].seconds < 60 and "seconds" not in erased[1].metadata  # files of one erasure are the same


def test_a_model_beside_itself_loses_nothing(call, given):
    words = {"concepts": "cat", "neighbours": "dog", "others": "car", "filename_prefix": ""}
    body = json.loads(call(ErasureReport, **(given | {"erased_model": given["model"]}), **words)[2])
    for row in body["rows"]:
        if row["part"] in ("words", "erased", "neighbours", "others"):
            assert row["erased model"] == row["original model"]
            assert row.get("likeness", 1) == pytest.approx(1, abs=1e-4)


def test_only_some_scenarios_and_what_they_lack(call, given):
    found, _, said = call(AttackErasure, **given, others="dog", only="names, synonyms").args
    assert list(found.left_out) == ["synonyms"]
    assert said.splitlines()[-1] == "Synonyms: left out, no synonyms were named"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"only": "magic"}, "there is no scenario 'magic'"),
        ({"concept": ""}, "concept is empty"),
        ({"others": ""}, "others is empty"),
    ],
)
def test_attacks_that_cannot_run_are_refused_before(changes, said):
    assert said in AttackErasure.validate_inputs(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neighbours": "cat"}, "more than once"),
        ({"neighbours": "", "others": ""}, "word that stays"),
        ({"concepts": ""}, "concepts is empty"),
    ],
)
def test_reports_that_say_nothing_are_refused_before(changes, said):
    lists = {"concepts": "cat", "synonyms": "", "neighbours": "dog", "others": "car"}
    assert said in ErasureReport.validate_inputs(**(lists | changes))


def test_settings_that_do_not_exist_are_named(call, given):
    with pytest.raises(ValueError, match="Attack Erasure has no setting 'magic'"):
        call(AttackErasure, **(given | {"settings": "magic=1"}))


def test_a_guard_on_the_erased_model_acts_in_its_pictures_and_several_are_refused(call, given, sockets):
    asked = {"concepts": "cat", "clip": sockets["clip"], "method": "guidance", "preset": "paper", "strength": 3.0}
    guarded = call(GuardAgainstConcepts, model=given["erased_model"], **asked)[0]
    attacked = {"others": "dog", "only": "names"}
    plain, found = (
        call(AttackErasure, **{**given, "erased_model": model}, **attacked)[0].outcomes[0].attempt
        for model in (given["erased_model"], guarded)
    )
    assert torch.equal(found.ceiling, plain.ceiling) and not torch.allclose(found.erased, plain.erased, atol=1e-3)
    words = {"concepts": "cat", "synonyms": "", "neighbours": "dog", "others": "car", "filename_prefix": ""}
    assert call(ErasureReport, **{**given, "erased_model": guarded}, **words)[0].shape[0] == 1
    twice = call(GuardAgainstConcepts, model=guarded, **asked)[0]
    with pytest.raises(ValueError, match="has several guards"):
        call(AttackErasure, **{**given, "erased_model": twice}, **attacked)


@pytest.fixture
def unread(monkeypatch):
    """Texts with a mark that a model of the headless runner reads, and whether the token came with each."""
    from concept_atelier.host.headless.backbone import DiffusersBackbone

    seen = []

    def watch(name):
        really = getattr(DiffusersBackbone, name)

        def read(self, texts, *rest):
            placeholders = rest[-1] if rest and rest[-1] else {}
            marks = [(text, mark) for text in texts for mark in ("<red>", "<green>") if mark in text]
            seen.extend((text, mark in placeholders) for text, mark in marks)
            return really(self, texts, *rest)

        monkeypatch.setattr(DiffusersBackbone, name, read)

    watch("encode_text")
    watch("encode_beginnings")
    return seen


def test_an_erased_token_is_attacked_and_reported_as_the_token(call, given, tokens, unread):
    """By the detector, the scenarios, the further erasures and the report."""
    call(AttackErasure, **given, concept="<red>", others="<green>, dog", only="names, sequence", tokens=tokens)
    texts = {text for text, _ in unread}
    assert any("<red>" in text for text in texts) and "<green>" in texts, texts
    lists = {"concepts": "<red>", "synonyms": "", "neighbours": "<green>", "others": "car", "filename_prefix": ""}
    before = len(unread)
    call(ErasureReport, **given, **lists, tokens=tokens)
    assert len(unread) > before and all(came for _, came in unread)


def test_a_token_that_is_not_connected_is_refused_and_not_read_as_letters(call, given, tokens):
    with pytest.raises(ValueError, match="names <red>, but the tokens are: none connected"):
        call(AttackErasure, **given, concept="<red>", others="dog")
    with pytest.raises(ValueError, match="names <blue>, but the tokens are"):
        call(AttackErasure, **given, concept="<red>", others="dog", synonyms="<blue>", tokens=tokens)
    lists = {"concepts": "cat", "synonyms": "", "neighbours": "<red>", "others": "", "filename_prefix": ""}
    with pytest.raises(ValueError, match="names <red>"):
        call(ErasureReport, **given, **lists)
