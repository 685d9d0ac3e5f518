"""``bench data``: captions that change places, and figures of encoders that know all and nothing."""

import pytest
import torch

from concept_atelier.bench.data import captions, entanglement
from concept_atelier.bench.harness import Request


def test_a_fifth_of_the_captions_changes_places():
    texts = [f"caption {number}" for number in range(50)]
    moved, wrong = captions.exchanged(texts, 3)
    assert sorted(moved) == sorted(texts) and int(wrong.sum()) == 10
    assert all((moved[n] != texts[n]) == bool(wrong[n]) for n in range(50))
    assert captions.exchanged(texts, 3)[0] == moved != captions.exchanged(texts, 4)[0]


def test_auroc_by_hand():
    scores, positive = torch.tensor([3.0, 1.0, 1.0, 0.0]), torch.tensor([True, True, False, False])
    assert captions.auroc(scores, positive) == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_encoders_that_know_every_pair_find_all_that_was_exchanged(monkeypatch):
    monkeypatch.setattr(captions, "PICTURES", 40)
    made = torch.Generator().manual_seed(0)
    known = torch.nn.functional.normalize(torch.randn(40, 16, generator=made), dim=1)
    own = captions.training_set("development", 0)[1]
    named = {text: known[number] for number, text in enumerate(own)}
    monkeypatch.setattr(captions, "picture_features", lambda vision, pictures: torch.stack([named[t] for t in own]))
    monkeypatch.setattr(captions, "word_features", lambda v, c, texts, *a, **k: torch.stack([named[t] for t in texts]))
    row = captions.measure(captions.Encoders(None, None), Request(1), 0)
    assert row["auroc"] == 1 and row["evident"] == 1 and row["recall"] == 1 and row["right_caption"] == 1
    assert row["clean_alarm"] == 0


def test_entanglement_is_judged_against_the_things_own_name(lab_backbone, monkeypatch):
    shares = iter([0.5, 0.8, 0.6, 0.54])
    monkeypatch.setattr(entanglement, "outside", lambda *given: next(shares))
    options = {"method": "conceptexpress", "mask_weight": 0.1, "set": {"steps": 1}}
    row = entanglement.measure(lab_backbone, Request(1, options=options), 0)
    assert [row[name] for name in entanglement.SHARES] == [0.5, 0.8, 0.6, 0.54]
    assert row["found"] == 1 and row["mended"] == 1
    assert entanglement.figures([row], Request(1))["entangled"]["whole"]["mean"] == 0.8
