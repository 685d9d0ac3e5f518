"""``bench data``: captions that change places, and figures of encoders that know all and nothing."""

import functools
import types

import pytest
import torch

from concept_atelier.bench.data import data, entangle, folders, weights
from concept_atelier.bench.harness import Request
from concept_atelier.core.types import ConceptTokens


def test_a_fifth_of_the_captions_changes_places():
    texts = [f"caption {number}" for number in range(50)]
    moved, wrong = data.exchanged(texts, 3)
    assert sorted(moved) == sorted(texts) and int(wrong.sum()) == 10
    assert all((moved[n] != texts[n]) == bool(wrong[n]) for n in range(50))
    assert data.exchanged(texts, 3)[0] == moved != data.exchanged(texts, 4)[0]


def test_auroc_by_hand():
    scores, positive = torch.tensor([3.0, 1.0, 1.0, 0.0]), torch.tensor([True, True, False, False])
    assert data.auroc(scores, positive) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_encoders_that_know_every_pair_find_all_that_was_exchanged(monkeypatch):
    monkeypatch.setattr(data, "PICTURES", 40)
    made = torch.Generator().manual_seed(0)
    known = torch.nn.functional.normalize(torch.randn(40, 16, generator=made), dim=1)
    own = data.training_set("development", 0)[1]
    named, nothing = {text: known[number] for number, text in enumerate(own)}, torch.zeros(16)
    monkeypatch.setattr(data, "picture_features", lambda vision, pictures: torch.stack([named[t] for t in own]))
    monkeypatch.setattr(
        data, "word_features", lambda v, c, texts, *a, **k: torch.stack([named.get(t, nothing) for t in texts])
    )
    row = data.measure(data.Encoders(None, None), Request(1), 0)
    assert row["auroc"] == 1 and row["evident"] == 1 and row["recall"] == 1 and row["right_caption"] == 1
    assert row["clean_alarm"] == 0


def test_in_folders_the_clean_set_is_one_without_wrong_captions(monkeypatch):
    sizes = []
    monkeypatch.setattr(data, "picture_features", lambda vision, pictures: len(pictures))

    def noise(encoders, seen, texts, against):
        sizes.append((seen, against))
        bad = torch.tensor(folders.folder("development", 0).wrong)
        fit = torch.where(bad, -1.0, 1.0) if len(sizes) == 1 else torch.ones(24)
        return types.SimpleNamespace(fit=fit, noise=(1 - fit) / 2, evident=len(sizes) == 1)

    monkeypatch.setattr(data, "noise_of", noise)
    options = {"folders": True, "against": "captions"}
    row = data.measure(data.Encoders(None, None), Request(1, options=options), 0)
    assert sizes == [(24, "captions")] * 2
    assert row["auroc"] == row["evident"] == row["recall"] == row["precision"] == 1 and row["clean_alarm"] == 0
    assert "right_caption" not in data.figures([row], Request(1))["captions"]


def test_entanglement_is_judged_against_the_things_own_name(lab_backbone, monkeypatch):
    shares = iter([0.5, 0.8, 0.6, 0.54])
    monkeypatch.setattr(entangle, "outside", lambda *given: next(shares))
    options = {"method": "conceptexpress", "pictures": 2, "mask_weight": 0.1, "set": {"steps": 1}}
    row = entangle.measure(lab_backbone, Request(1, options=options), 0)
    assert [row[name] for name in entangle.SHARES] == [0.5, 0.8, 0.6, 0.54]
    assert row["found"] == 1 and row["mended"] == 1 and row["alone"] == 0
    unbound = row | {"found": 0.0, "mended": 0.0}
    found = entangle.figures([row, unbound], Request(2))["entangled"]
    assert found["whole"]["mean"] == 0.8 and found["found"]["mean"] == 0.5
    assert found["mended"]["mean"] == 1 and found["alone"]["mean"] == 0  # of those found alone


def test_planted_pictures_show_one_thing_in_other_places_on_one_background():
    """The pattern of a background may be shifted; its colour is the same, and another case's is not."""

    def colours(cases):
        return torch.stack([case.picture[0][:, ~case.masks[0]].mean(1) for case in cases])  # (n, 3)

    name, cases = entangle.planted("development", 0, 3)
    assert all(case.names == (name,) for case in cases) and not torch.equal(cases[0].masks, cases[1].masks)
    found, other = colours(cases), colours(entangle.planted("development", 1, 1)[1])
    assert (found - found[:1]).abs().max() < 0.1 < (found - other).abs().max(1).values.min()


def test_a_folder_shows_the_thing_in_all_but_a_fifth_of_its_pictures():
    given = folders.folder("development", 0)
    assert sum(given.wrong) == folders.WRONG and not given.wrong[0] and len(given.cases) == folders.PICTURES
    assert not any(folders.folder("development", 0, wrong=0).wrong)
    for case, caption, wrong in zip(given.cases, given.captions, given.wrong, strict=True):
        assert (case.names == (given.kind.name,)) != wrong and given.kind.name in caption


def test_every_way_of_weighing_learns_from_its_own_weights(lab_backbone, monkeypatch):
    monkeypatch.setattr(folders, "PICTURES", 4)
    monkeypatch.setattr(weights, "folder", functools.partial(folders.folder, wrong=1))
    seen = []

    def learn(backbone, given, request, weights, rate, seed):
        seen.append((list(weights), rate))
        return ConceptTokens({}, "lab")

    found = types.SimpleNamespace(noise=torch.tensor([0.0, 1.0, 0.0, 0.0]), evident=True)
    found.weights = lambda: 1 - found.noise
    monkeypatch.setattr(weights, "learn", learn)
    monkeypatch.setattr(weights, "noise_of", lambda *given: found)
    monkeypatch.setattr(weights, "picture_features", lambda *given: None)
    monkeypatch.setattr(weights, "scores", lambda *given: {"found": 1.0, "alike": 0.5})
    parts = weights.Parts(lab_backbone, None, types.SimpleNamespace(vision=None))
    row = weights.measure(parts, Request(1), 0)
    right = [float(not wrong) for wrong in weights.folder("development", 0).wrong]
    noise = [1.0, 0.0, 1.0, 1.0]
    assert seen == [([], 0.0), (noise, 0.0), ([], 2.0), (noise, 2.0), (right, 0.0)]
    summary = weights.figures([row], Request(1))
    assert summary["both"]["gain"]["mean"] == 0 and summary["flagged"]["share"]["mean"] == row["flagged"]
