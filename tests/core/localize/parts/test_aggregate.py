import pytest
import torch
from torch.nn.functional import interpolate

from concept_atelier.core.localize.methods.diffseg import METHOD as DIFFSEG
from concept_atelier.core.localize.parts.aggregate import (
    aggregate_self_attention,
    clustering_grid,
    grid_weights,
    nearest_cells,
    self_grids,
)
from concept_atelier.core.localize.parts.settings import LocalizeSettings


def maps_on(*grids, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {g: torch.rand(g[0] * g[1], g[0] * g[1], generator=generator).softmax(1) for g in grids}


def slow(maps, grid, weights, renormalise):
    """Query by query, as the card says it."""
    total = torch.zeros(grid[0] * grid[1], grid[0] * grid[1])
    for (h, w), rows in maps.items():
        for y in range(grid[0]):
            for x in range(grid[1]):
                row = rows[(y * h // grid[0]) * w + x * w // grid[1]].view(1, 1, h, w)
                key = interpolate(row, size=grid, mode="bilinear").flatten()
                total[y * grid[1] + x] += weights[h, w] * (key / key.sum() if renormalise else key)
    return total / total.sum(1, keepdim=True)


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("grid", [(8, 8), (4, 12)])
def test_equals_the_card_query_by_query(grid, renormalise):
    maps = maps_on(grid, (grid[0] // 2, grid[1] // 2), (grid[0] // 4, grid[1] // 4))
    weights = {g: 1 / (i + 1) for i, g in enumerate(maps)}
    result = aggregate_self_attention(maps, grid, weights, renormalise)
    assert torch.allclose(result, slow(maps, grid, weights, renormalise), atol=1e-7)
    assert torch.allclose(result.sum(1), torch.ones(len(result)), atol=1e-6)


@pytest.mark.parametrize(
    ("renormalise", "expected"), [(False, (0.118, 0.235, 0.471, 0.176)), (True, (0.56, 0.28, 0.14, 0.01))]
)
def test_the_two_weightings_share_out_as_the_card_says(renormalise, expected):
    grid, layers = (16, 16), {(16, 16): 5, (8, 8): 5, (4, 4): 5, (2, 2): 1}
    even = {g: torch.full((g[0] ** 2, g[0] ** 2), 1 / g[0] ** 2) for g in layers}
    weights = grid_weights(layers, grid, LocalizeSettings())
    assert weights == pytest.approx({(16, 16): 5, (8, 8): 2.5, (4, 4): 1.25, (2, 2): 0.125})
    unit = torch.tensor([interpolate(even[g][:1].view(1, 1, *g), size=grid, mode="bilinear").sum() for g in layers])
    mass = torch.tensor(list(weights.values())) * (1 if renormalise else unit)
    assert (mass / mass.sum()).tolist() == pytest.approx(expected, abs=0.012)
    # The same shares in what aggregation returns: one grid attends to the first cell, the others evenly.
    for g, share in zip(layers, (mass / mass.sum()).tolist(), strict=True):
        marked = dict(even)
        marked[g] = torch.zeros_like(even[g])
        marked[g][:, 0] = 1
        moved = aggregate_self_attention(marked, grid, weights, renormalise)
        flat = aggregate_self_attention(even, grid, weights, renormalise)
        assert 0.5 * (moved - flat).abs().sum(1).mean().item() <= share + 1e-4
        assert (moved - flat).abs().sum() > 0


def test_a_single_map_on_the_clustering_grid_comes_back():
    maps = maps_on((5, 7))
    assert torch.allclose(aggregate_self_attention(maps, (5, 7), {(5, 7): 3.0}), maps[5, 7], atol=1e-7)


def test_finer_grids_are_shrunk_and_odd_ones_fit():
    result = aggregate_self_attention(maps_on((9, 6), (5, 3), (1, 1)), (4, 4), {(9, 6): 1, (5, 3): 1, (1, 1): 1})
    assert result.shape == (16, 16)
    assert torch.allclose(result.sum(1), torch.ones(16), atol=1e-6)


def test_nearest_cells():
    assert nearest_cells((1, 2), (2, 4)).tolist() == [0, 0, 1, 1] * 2
    assert nearest_cells((4, 1), (2, 1)).tolist() == [1, 3]


def test_explicit_weights_go_from_fine_to_coarse_and_leave_out_the_rest():
    layers = {(4, 4): 2, (16, 16): 3, (8, 8): 1}
    weights = grid_weights(layers, (16, 16), LocalizeSettings(grid_weights=(0.0, 2.0)))
    assert weights == {(8, 8): 2.0}


def test_grids_take_part_by_absolute_size():
    grids = [(16, 24), (8, 12), (4, 6), (2, 3), (2, 3)]
    assert self_grids(grids, LocalizeSettings(least_side=4)) == ((16, 24), (8, 12), (4, 6))
    assert self_grids(grids, LocalizeSettings(max_cells=100)) == ((8, 12), (4, 6), (2, 3))
    assert self_grids(grids, LocalizeSettings(least_side=99)) == ((16, 24),)
    assert self_grids(grids, LocalizeSettings(max_cells=1)) == ((2, 3),)
    with pytest.raises(ValueError, match="no self-attention"):
        self_grids([], LocalizeSettings())


def test_large_latents_are_clustered_on_a_fraction_of_their_sides():
    assert clustering_grid((64, 96), 64 * 96) == (64, 96)
    assert clustering_grid((128, 128), 64 * 96) == (64, 64)
    assert clustering_grid((5, 1000), 600) == (2, 250)
    assert clustering_grid((1, 1), 1) == (1, 1)


def test_broken_maps_are_refused_by_grid():
    broken = maps_on((4, 4))
    broken[4, 4][3, 2] = float("nan")
    with pytest.raises(ValueError, match="4x4 grid holds NaN"):
        aggregate_self_attention(broken, (4, 4), {(4, 4): 1})
    with pytest.raises(ValueError, match=r"must be \(16, 16\), got \(4, 4\)"):
        aggregate_self_attention({(4, 4): torch.ones(4, 4)}, (4, 4), {(4, 4): 1})
    with pytest.raises(ValueError, match="sum to zero"):
        aggregate_self_attention({(2, 2): torch.zeros(4, 4)}, (4, 4), {(2, 2): 1})
    with pytest.raises(ValueError, match="no self-attention map has a weight"):
        aggregate_self_attention(maps_on((4, 4)), (4, 4), {(8, 8): 1})


def test_diffseg_weighs_grids_alike_however_many_layers_they_have():
    layers = {(64, 64): 5, (32, 32): 5, (16, 16): 5, (8, 8): 1}
    weights = grid_weights(layers, (64, 64), DIFFSEG.preset("paper"))
    shares = [weight / sum(weights.values()) for weight in weights.values()]
    assert shares == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15])
