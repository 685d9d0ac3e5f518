import math

import pytest
import torch

from concept_atelier.bench.metrics import (
    adjusted_rand_index,
    bootstrap_interval,
    iou_matrix,
    score_masks,
)


def stripes(*edges, width=12):
    """Masks of one row, each from a to b."""
    masks = torch.zeros(len(edges), 1, width, dtype=torch.bool)
    for mask, (a, b) in zip(masks, edges, strict=True):
        mask[0, a:b] = True
    return masks


def test_known_ious():
    ious = iou_matrix(stripes((0, 4), (4, 6), (0, 0)), stripes((0, 4), (2, 6), (0, 0)))
    assert ious.tolist() == [[1, 2 / 6, 0], [0, 0.5, 0], [0, 0, 0]]


def test_perfect_masks_in_any_order():
    truth = stripes((0, 4), (6, 9))
    score = score_masks(truth.flip(0), truth)
    assert (score.miou, score.recall, score.precision, score.count_error, score.ari) == (1, 1, 1, 0, 1)


def test_missing_surplus_and_half_right_masks():
    truth = stripes((0, 4), (6, 10))
    missing = score_masks(truth[:1], truth)
    assert (missing.miou, missing.recall, missing.precision, missing.count_error) == (0.5, 0.5, 1, -1)
    surplus = score_masks(torch.cat([truth, stripes((4, 6))]), truth)
    assert (surplus.miou, surplus.recall, surplus.precision, surplus.count_error) == (1, 1, 2 / 3, 1)
    half = score_masks(stripes((2, 4), (6, 7)), truth)
    assert (half.miou, half.recall, half.precision) == ((0.5 + 0.25) / 2, 0.5, 0.5)
    nothing = score_masks(truth[:0], truth)
    assert (nothing.miou, nothing.recall, nothing.precision, nothing.count_error, nothing.ari) == (0, 0, 0, -2, 0)


def test_ari_known_values():
    a = torch.tensor([0, 0, 0, 1, 1, 1])
    assert adjusted_rand_index(a, 1 - a) == 1
    # The textbook's 2x3 table [[2, 1, 0], [0, 1, 2]]: 2 pairs together, 6 and 3 in the margins, of 15.
    table = adjusted_rand_index(a, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert table == pytest.approx((2 - 6 * 3 / 15) / (4.5 - 6 * 3 / 15))
    assert adjusted_rand_index(torch.zeros(5), torch.ones(5)) == 1
    assert adjusted_rand_index(torch.zeros(6), a) == 0
    generator = torch.Generator().manual_seed(0)
    chance = [adjusted_rand_index(*torch.randint(3, (2, 400), generator=generator)) for _ in range(50)]
    assert abs(sum(chance) / 50) < 0.005


def test_bootstrap_interval():
    values = torch.randn(400, generator=torch.Generator().manual_seed(1)).tolist()
    low, high = bootstrap_interval(values, seed=3)
    mean = sum(values) / 400
    assert low < mean < high
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert bootstrap_interval(values, seed=3) == (low, high)
    assert bootstrap_interval([0.3]) == (pytest.approx(0.3), pytest.approx(0.3))
    assert all(math.isnan(x) for x in bootstrap_interval([]))


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        score_masks(stripes((0, 1)), stripes((0, 1), width=5))
    with pytest.raises(ValueError, match="at least one be true"):
        score_masks(stripes((0, 1)), stripes((0, 1))[:0])
