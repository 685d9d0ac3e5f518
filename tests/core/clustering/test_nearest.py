"""First neighbours by bounds against the divergences of all pairs."""

import pytest
import torch

from concept_atelier.core.clustering import nearest
from concept_atelier.core.clustering.divergence import symmetric_kl
from concept_atelier.core.clustering.finch import finch, first_neighbours
from concept_atelier.core.clustering.nearest import NearRows, near_kl


def rows_of(kind, n=150, d=70):
    draw = torch.Generator().manual_seed(3)
    if kind == "noise":
        return torch.rand(n, d, generator=draw)
    if kind == "copies":
        return torch.rand(7, d, generator=draw)[torch.arange(n) % 7]
    if kind == "zeros":
        return torch.eye(d)[torch.randint(d, (n,), generator=draw)]
    place = torch.rand(n, 2, generator=draw)  # of rows whose attention falls off with distance
    return (-30 * torch.cdist(place, torch.rand(d, 2, generator=draw)).square()).softmax(1)


KINDS = ("noise", "copies", "zeros", "near")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbours_and_distances_are_those_of_all_pairs(kind, dtype):
    rows = rows_of(kind).to(dtype)
    found, expected = NearRows(rows), symmetric_kl(rows)
    assert len(found) == len(rows)
    nearest_ones = found.nearest()
    own = torch.arange(len(rows))
    # Where two are equally near but for rounding, either may be the first.
    least = expected[own, first_neighbours(expected)]
    torch.testing.assert_close(expected[own, nearest_ones], least, rtol=1e-5, atol=1e-5)
    if kind in ("copies", "zeros"):  # exact copies are at distance 0, and the lowest of them comes first
        assert nearest_ones.equal(first_neighbours(expected))
    pairs = torch.cartesian_prod(own, own)[torch.randperm(len(own) ** 2, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(found.of(pairs), expected[pairs[:, 0], pairs[:, 1]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_entries_bound_the_candidates(kind):
    rows = rows_of(kind)
    found, closest = NearRows(rows), first_neighbours(symmetric_kl(rows))
    for strip in found._strips():
        assert set(closest[strip].tolist()) <= set(found._candidates(strip).tolist())
    assert 0 < found.share() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_finch_gives_the_same_levels(kind, monkeypatch):
    monkeypatch.setattr(nearest, "LEAST_ROWS", 20)
    monkeypatch.setattr(nearest, "WORTH", 1.0)
    rows = rows_of(kind)
    ours, expected = finch(rows, near_kl), finch(rows, symmetric_kl)
    assert [level.labels.tolist() for level in ours] == [level.labels.tolist() for level in expected]
    assert [level.linked for level in ours] == pytest.approx([level.linked for level in expected], abs=1e-5)


def test_all_pairs_are_computed_where_bounds_do_not_help(monkeypatch):
    monkeypatch.setattr(nearest, "LEAST_ROWS", 20)
    assert isinstance(near_kl(rows_of("noise")), torch.Tensor)
    place = torch.arange(1000) / 2  # rows in order, that attend to what is near them
    in_order = (-(place[:, None] - torch.arange(512)).square() / 2000).softmax(1)
    assert isinstance(near_kl(in_order), NearRows)
    assert isinstance(near_kl(rows_of("near")[:10]), torch.Tensor)


@pytest.mark.parametrize("bad", [torch.full((30, 4), torch.nan), -torch.ones(30, 4), torch.zeros(30, 4)])
def test_rows_that_are_no_distributions_are_refused(bad, monkeypatch):
    monkeypatch.setattr(nearest, "LEAST_ROWS", 20)
    with pytest.raises(ValueError, match="rows"):
        near_kl(bad)
