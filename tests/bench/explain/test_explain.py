"""``bench explain``: folders with exact answers, scores of known codes, and a run on a model that knows nothing."""

import argparse

import pytest
import torch

from concept_atelier.bench.explain import explain
from concept_atelier.bench.explain.folders import KINDS, OBJECTS, make_folder
from concept_atelier.bench.harness import Request, run


@pytest.fixture(scope="module")
def folder():
    return make_folder("development", 0, 0, 12)


def test_a_folder_says_where_each_factor_is(folder):
    assert folder.pictures.shape == (12, 3, 128, 128)
    assert sum(kind == "object" for kind, _ in folder.factors) == OBJECTS
    objects = torch.stack([masks for (kind, _), masks in folder.factors.items() if kind == "object"]).any(0)
    styles = torch.stack([masks for (kind, _), masks in folder.factors.items() if kind == "style"]).any(0)
    assert torch.equal(objects, styles) and {kind for kind, _ in folder.factors} == set(KINDS)
    shown = torch.stack([folder.present(factor) for factor in folder.factors if factor[0] == "object"]).sum(0)
    assert set(shown.tolist()) <= {1, 2}


def test_a_longer_folder_begins_alike_and_another_split_does_not(folder):
    longer = make_folder("development", 0, 0, 14)
    assert torch.equal(longer.pictures[:12], folder.pictures)
    assert not torch.equal(make_folder("test", 0, 0, 12).pictures, folder.pictures)


def test_scores_of_known_answers():
    present = torch.tensor([True, True, False, False])
    assert float(explain.auroc(torch.tensor([3.0, 2, 1, 0]), present)) == 1
    assert float(explain.auroc(torch.tensor([1.0, 1, 1, 1]), present)) == 0.5
    assert explain.f1(torch.tensor([True, False, False, False]), present) == pytest.approx(2 / 3)


def test_a_probe_finds_what_is_linear():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 20, generator=generator)
    present = rows[:, 3] > 0
    weights = explain.ridge(rows[:100], present[:100])
    assert float(explain.auroc(rows[100:] @ weights, present[100:])) > 0.9


@pytest.mark.parametrize("source", explain.SOURCES)
def test_a_run_on_random_weights(source):
    options = {"method": "kmeans", "count": 4, "pictures": 16, "seeds": 1, "source": source, "names": False}
    result = run(explain.BENCH, Request(1, untrained=True, options=options))
    assert "object" in explain.BENCH.table(result)
    assert 0 <= result["figures"]["auroc"] <= 1 and 0 <= result["figures"]["iou"] <= 1


def test_an_unknown_setting_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr(explain, "run_command", lambda *given: pytest.fail("it ran"))
    parser = argparse.ArgumentParser()
    explain.add_arguments(parser)
    with pytest.raises(ValueError, match="no setting"):
        explain.main(parser.parse_args(["--method", "kmeans", "--set", "depth=2"]))
