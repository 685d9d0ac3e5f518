"""``bench audit`` and the folders that it compares."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.bench.explain import audit, importance, places, steer
from concept_atelier.bench.explain.folders import EXCESS, make_folder, skewed_folder
from concept_atelier.bench.harness import Request, run


@pytest.fixture(scope="module")
def skewed():
    return skewed_folder("development", 0, 0, 40)


def test_a_skewed_folder_lacks_two_objects_and_has_more_of_one(skewed):
    folder, skew, looks = skewed
    shares = {word: float(folder.present((kind, word)).float().mean()) for kind, word in folder.factors}
    assert all(shares[word] == 0 for word in skew.missing) and shares[skew.excess] > EXCESS - 0.2
    assert len(looks) == 40 and all(of for of in looks)
    first = make_folder("development", 0, 0, 40)
    assert [key for key in first.factors] == [key for key in folder.factors]
    assert min(float(first.present(("object", word)).float().mean()) for word in skew.missing) > 0


def test_an_object_that_is_taken_away_leaves_the_background(skewed):
    folder, skew, _ = skewed
    factor = ("object", skew.excess)
    number = int(folder.present(factor).nonzero()[0])
    made = folder.without(factor, [number])
    where = folder.factors[factor][number]
    assert torch.equal(made[0][:, where], folder.grounds[number][:, where])
    kept = (made[0] == folder.pictures[number]).all(0)
    assert not bool(kept[where].all()) and float(kept.float().mean()) > 0.5


def test_masks_are_joined_only_where_that_helps():
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[:, 8:24, 8:24] = True
    left, right, other = (torch.zeros(3, 32, 32) for _ in range(3))
    left[:, 8:24, 8:16], right[:, 8:24, 16:24], other[:, :8] = 1, 1, 1
    chosen, level = places.joined(torch.stack([other, left, right], 1), masks)
    assert sorted(chosen) == [1, 2] and 0 <= level < len(places.THRESHOLDS)


@pytest.mark.parametrize("of", audit.OF)
def test_an_audit_runs_on_random_weights(of):
    options = {"method": "kmeans", "count": 4, "pictures": 6, "of": of, "steps": 1}
    result = run(audit.BENCH, Request(1, untrained=True, options=options))
    assert "all three found" in audit.BENCH.table(result) and 0 <= result["figures"]["missing"] <= 2


def test_a_finding_is_right_only_where_its_object_changed_so():
    """Three pictures of each of two objects before, and of one of them afterwards."""
    cat = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)
    before, after = {"cat": cat, "dog": ~cat}, {"cat": cat}
    changes = audit._changes(before, after)
    assert changes == {"cat": 1, "dog": 0}
    codes = SimpleNamespace(scores=lambda: torch.stack([cat.float(), 1 - cat.float()], 1))
    right, wrong = audit._judged([("missing", [[0], [1]], codes, before)], changes)
    assert right == {"missing": {"dog"}, "excessive": set()} and wrong == ["missing: cat"]


@pytest.mark.parametrize("source", ["denoiser", "tower"])
def test_importance_runs_on_random_weights(source, monkeypatch):
    monkeypatch.setattr(importance, "ASKED", 1)
    options = {"method": "kmeans", "count": 3, "pictures": 16, "source": source}
    result = run(importance.BENCH, Request(1, untrained=True, options=options))
    assert "rank correlation" in importance.BENCH.table(result)
    assert -1 <= result["figures"]["removal"]["rank"] <= 1


def test_steering_runs_on_random_weights(monkeypatch):
    monkeypatch.setattr(steer, "STEPS", 1)
    monkeypatch.setattr(steer, "DRAWN", 1)
    options = {"find": "kmeans", "count": 3, "pictures": 16}
    result = run(steer.BENCH, Request(1, untrained=True, options=options))
    assert "other objects are found" in steer.BENCH.table(result)
    assert set(result["figures"]) == set(steer.WAYS)
