"""Probes of planted knowledge: where it begins, where it is complete, and what chance reaches."""

import pytest
import torch

from concept_atelier.core.surgery.probing.curves import LEAST, ProbeCurve, probe_curve

PLACES = ["tokens", "layer 1", "layer 2", "layer 3"]


@pytest.fixture
def present():
    return torch.arange(40) % 2 == 0


def noise(seed, width=30):
    return torch.randn(40, width, generator=torch.Generator().manual_seed(seed))


def planted(present, strength, seed):
    """Noise, with one direction along which the examples with the concept lie further."""
    rows = noise(seed)
    rows[:, :5] += strength * present[:, None].float()
    return rows


def test_knowledge_is_found_where_it_was_planted(present):
    rows = [noise(0), noise(1), planted(present, 1.5, 2), planted(present, 6.0, 3)]
    found = probe_curve(PLACES, rows, present, 100, 0)
    assert float(found.auroc[3]) == 1.0 and found.best == 3
    assert found.onset == 2 and found.converged in (2, 3) and 0.5 < found.null < 0.85
    assert all(abs(float(value) - 0.5) < 0.25 for value in found.auroc[:2])


def test_nothing_is_known_where_nothing_was_planted(present):
    onsets = [probe_curve(PLACES, [noise(10 * seed + n) for n in range(4)], present, 60, seed) for seed in range(8)]
    assert sum(found.onset is not None for found in onsets) <= 2
    assert abs(sum(float(found.auroc.mean()) for found in onsets) / 8 - 0.5) < 0.06


def test_what_is_the_same_for_all_says_nothing_and_scale_does_not_matter(present):
    flat = torch.full((40, 3), 7.0)
    rows = planted(present, 2.0, 5)
    found = probe_curve(PLACES[:3], [flat, rows, 1000 * rows + 5], present, 20, 0)
    assert float(found.auroc[0]) == 0.5
    assert float(found.auroc[1]) == pytest.approx(float(found.auroc[2]))


def test_the_first_of_places_that_are_nearly_the_best_is_the_convergence():
    found = ProbeCurve(tuple(PLACES), torch.tensor([0.5, 0.75, 0.97, 0.98]), 0.7)
    assert (found.onset, found.converged, found.best) == (1, 2, 3)
    nothing = ProbeCurve(tuple(PLACES), torch.tensor([0.5, 0.6, 0.5, 0.4]), 0.7)
    assert nothing.onset is None and nothing.converged is None


def test_too_few_examples_are_refused():
    present = torch.tensor([True] * 6 + [False] * (LEAST - 1))
    with pytest.raises(ValueError, match="6 and 3"):
        probe_curve(PLACES[:1], [torch.zeros(9, 2)], present, 20, 0)
