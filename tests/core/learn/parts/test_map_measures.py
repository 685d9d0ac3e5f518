import math

import pytest
import torch

from concept_atelier.core.learn.parts.map_measures import (
    blurred,
    inside_share,
    jensen_shannon,
    pixel_softmax,
    soft_iou,
    structural_similarity,
)


def square(top, left, side=2, grid=(6, 8)):
    mask = torch.zeros(grid)
    mask[top : top + side, left : left + side] = 1
    return mask


def test_the_blur_spreads_a_cell_as_its_bell_says_and_keeps_constants():
    line = torch.tensor([math.exp(-1), 1.0, math.exp(-1)])  # exp(-(d / (2 sigma))^2) at sigma 0.5
    line = line / line.sum()
    spread = blurred(square(3, 4, 1))
    torch.testing.assert_close(spread[2:5, 3:6], line[:, None] * line)
    torch.testing.assert_close(blurred(torch.full((2, 1, 5), 0.7)), torch.full((2, 1, 5), 0.7))


def test_soft_iou_of_hard_masks_is_the_usual_one_but_for_the_smoothing():
    a, b = square(1, 1), square(1, 2)  # 4 cells each, 2 shared
    assert float(soft_iou(a, b)) == pytest.approx(3 / 7)
    assert float(soft_iou(a, b, smooth=0.0)) == pytest.approx(2 / 6)
    assert float(soft_iou(a, a)) == 1 and float(soft_iou(a, square(4, 6))) == pytest.approx(1 / 9)
    assert float(soft_iou(0.5 * a, a, smooth=0.0)) == pytest.approx(2 / 4)


def test_jensen_shannon_is_0_for_equal_ln_2_for_disjoint_and_symmetric():
    p, q = square(0, 0) / 4, square(3, 3) / 4
    assert float(jensen_shannon(p, p)) == pytest.approx(0, abs=1e-6)
    assert float(jensen_shannon(p, q)) == pytest.approx(math.log(2), rel=1e-5)
    # Half of the mass shared: H(m) = ln 2 + ... worked out by hand for two cells against one.
    two, one = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 0.0]])
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) - math.log(2) / 2
    assert float(jensen_shannon(two, one)) == pytest.approx(expected, rel=1e-5)
    assert float(jensen_shannon(two, one)) == pytest.approx(float(jensen_shannon(one, two)))


def test_a_low_temperature_makes_attention_follow_its_peaks():
    flat, sharp = pixel_softmax(square(1, 1), 1.0), pixel_softmax(square(1, 1), 0.05)
    torch.testing.assert_close(flat.sum(), torch.tensor(1.0))
    assert float(flat[1, 1] / flat[0, 0]) == pytest.approx(math.e, rel=1e-5)
    torch.testing.assert_close(sharp, square(1, 1) / 4, atol=1e-6, rtol=0)


def test_inside_share_is_a_share_of_mass():
    maps = torch.stack([square(1, 1) + 1, torch.zeros(6, 8)])
    assert inside_share(maps, square(1, 1)).tolist() == pytest.approx([8 / 52, 0.0])


def test_structural_similarity_of_known_windows():
    a = square(1, 1, 3, (7, 7))
    assert float(structural_similarity(a, a)) == pytest.approx(1)
    flat = torch.stack([torch.full((7, 7), 0.5), torch.full((7, 7), 0.25)])
    # Without variance only the first factor counts.
    expected = (2 * 0.5 * 0.25 + 1e-4) / (0.25 + 0.0625 + 1e-4)
    assert float(structural_similarity(flat[0], flat[1])) == pytest.approx(expected, rel=1e-4)
    opposite = structural_similarity(a, 1 - a)
    assert float(opposite) < 0 and structural_similarity(torch.stack([a, a]), torch.stack([a, 1 - a])).shape == (2,)


def test_structural_similarity_shrinks_its_window_to_small_maps():
    a = square(0, 0, 2, (4, 6))
    assert float(structural_similarity(a, a)) == pytest.approx(1)
    assert float(structural_similarity(a, a.flip(-1))) < 0.8


@pytest.mark.parametrize("measure", [soft_iou, lambda a, b: jensen_shannon(pixel_softmax(a), pixel_softmax(b))])
def test_gradients_bring_maps_together(measure, generator):
    moving, target = torch.rand(6, 8, generator=generator).requires_grad_(), square(2, 3)
    (slope,) = torch.autograd.grad(measure(moving, target), moving)
    sign = 1 if measure is soft_iou else -1
    closer = moving.detach() + 0.05 * sign * slope / slope.abs().max()
    assert sign * (measure(closer, target) - measure(moving, target)) > 0
