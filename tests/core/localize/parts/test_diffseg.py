"""DiffSeg on attention whose segments are known."""

import pytest
import torch

from concept_atelier.core.localize.parts.diffseg import anchor_cells, diffseg, gather, merge_once

GRID = (8, 12)


def blocks(sharp=0.97):
    """Attention of three upright stripes of four columns: each cell looks at its own stripe, a little at the rest."""
    stripe = (torch.arange(GRID[1]) // 4).repeat(GRID[0])
    own = (stripe[:, None] == stripe[None]).float()
    rows = sharp * own / own.sum(1, keepdim=True) + (1 - sharp) / len(stripe)
    return rows, stripe


@pytest.mark.parametrize("anchors", [1000, 4, 3])
def test_stripes_are_found(anchors):
    rows, stripe = blocks()
    assert torch.equal(diffseg(rows, GRID, anchors), stripe)


def test_a_large_threshold_makes_one_segment():
    assert (diffseg(blocks()[0], GRID, threshold=100.0) == 0).all()


def test_a_threshold_of_zero_keeps_every_anchor_apart():
    """Each cell then goes to the highest of the anchors' own rows."""
    rows = torch.eye(96) * 0.9 + 0.1 / 96
    assert torch.equal(diffseg(rows, GRID, 12, threshold=0.0), torch.arange(96))


def test_anchors_lie_evenly():
    assert anchor_cells((4, 4), 2).tolist() == [5, 7, 13, 15]
    assert anchor_cells((2, 3), 16).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_anchor_gathers_what_is_near():
    rows, stripe = blocks()
    gathered = gather(rows, rows[:1], 0.5)
    assert torch.allclose(gathered[0], rows[stripe == 0].mean(0))
    lonely = torch.rand(1, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(gather(rows, lonely, 0.0), lonely)


def test_maps_absorbed_once_still_count_but_start_nothing():
    maps = torch.tensor([[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]])  # neighbours at 0.02, the ends at 0.08
    merged = merge_once(maps, 0.05)
    assert torch.allclose(merged, torch.tensor([[0.55, 0.45], [0.45, 0.55]]), atol=1e-6)


def test_bad_arguments_are_refused():
    for bad in ({"anchors": 0}, {"iterations": 0}, {"threshold": -1.0}):
        with pytest.raises(ValueError, match="anchors and iterations must be at least 1"):
            diffseg(blocks()[0], GRID, **bad)
