import math

import pytest
import torch

from concept_atelier.bench.cost.meters import memory_of
from concept_atelier.core.clustering.divergence import as_distributions, cosine, euclidean, symmetric_kl

DISTANCES = (symmetric_kl, cosine, euclidean)


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.rand(12, 7, generator=torch.Generator().manual_seed(3)) + 0.01


def test_symmetric_kl_equals_its_definition(rows):
    p = rows.double() / rows.double().sum(1, keepdim=True)
    expected = torch.tensor(
        [[0.5 * ((a * (a / b).log()).sum() + (b * (b / a).log()).sum()).item() for b in p] for a in p]
    )
    assert torch.allclose(symmetric_kl(rows), expected, atol=2e-6)
    assert torch.allclose(symmetric_kl(rows[:5], rows[5:]), expected[:5, 5:], atol=2e-6)


def test_known_value_of_symmetric_kl():
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1]])
    forward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    backward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert symmetric_kl(p)[0, 1].item() == pytest.approx((forward + backward) / 2, abs=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_symmetric_non_negative_and_zero_for_copies(distance, rows):
    rows = torch.cat([rows, rows])
    distances = distance(rows)
    assert torch.equal(distances, distances.T)
    assert (distances >= 0).all()
    assert (distances.diagonal() == 0).all()
    assert (distances[:12, 12:].diagonal() == 0).all()
    assert distances[0, 1] > 0


def test_symmetric_kl_ignores_the_scale_of_rows(rows):
    assert torch.allclose(symmetric_kl(rows), symmetric_kl(rows * torch.arange(1, 13)[:, None]), atol=2e-6)


def test_zero_entries_give_large_finite_distances():
    distances = symmetric_kl(torch.eye(3))
    assert torch.isfinite(distances).all()
    assert distances[0, 1] > 20


def test_half_precision_is_computed_in_single(rows):
    assert symmetric_kl(rows.half()).dtype == torch.float32
    assert torch.allclose(symmetric_kl(rows.half()), symmetric_kl(rows), atol=1e-2)


def test_cosine_and_euclidean_known_values():
    x = torch.tensor([[3.0, 0.0], [0.0, 4.0], [-1.0, 0.0], [0.0, 0.0]])
    assert cosine(x)[0].tolist() == [0.0, 1.0, 2.0, 1.0]
    assert euclidean(x)[0].tolist() == [0.0, 5.0, 4.0, 3.0]


def test_bad_rows_are_refused(rows):
    rows[2, 3] = float("nan")
    for distance in DISTANCES:
        with pytest.raises(ValueError, match="1 values that are NaN"):
            distance(rows)
    with pytest.raises(ValueError, match="negative"):
        as_distributions(torch.tensor([[1.0, -0.5]]))
    with pytest.raises(ValueError, match="1 of 2 rows sum to zero"):
        as_distributions(torch.tensor([[1.0, 0.5], [0.0, 0.0]]))
    with pytest.raises(ValueError, match=r"\(n, d\)"):
        cosine(torch.ones(3))


def test_large_matrices_are_done_in_blocks_and_stay_symmetric():
    rows = torch.rand(1100, 1300, generator=torch.Generator().manual_seed(0))
    distances, parts = symmetric_kl(rows), symmetric_kl(rows, rows[500:700])
    p = as_distributions(rows.double())
    entropy, cross = (p * p.log()).sum(1), p @ p.log().T
    assert torch.allclose(distances.double(), (entropy[:, None] + entropy - cross - cross.T) / 2, atol=5e-6)
    assert torch.equal(distances, distances.T)
    assert torch.allclose(parts, distances[:, 500:700], atol=5e-6)


def test_a_divergence_holds_little_more_than_rows_logarithms_and_the_result():
    rows = torch.rand(2000, 2000, generator=torch.Generator().manual_seed(0))
    assert memory_of(lambda: symmetric_kl(rows)).peak < 4 * rows.nbytes
