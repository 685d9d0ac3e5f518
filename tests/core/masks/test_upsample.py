import pytest
import torch

from concept_atelier.core.masks.upsample import covered_size, smooth_masks, to_pixels


def test_nearest_repeats_cells():
    masks = torch.tensor([[[1, 0], [0, 1]]], dtype=torch.bool)
    pixels = to_pixels(masks, (4, 6))
    assert pixels.dtype == torch.float32
    assert torch.equal(pixels[0], masks[0].float().repeat_interleave(2, 0).repeat_interleave(3, 1))


def test_bilinear_is_soft_between_and_keeps_the_range():
    pixels = to_pixels(torch.tensor([[[1.0, 0.0]]]), (1, 8), "bilinear")[0, 0]
    assert (pixels.diff() <= 0).all() and pixels[0] == 1 and pixels[-1] == 0
    assert ((pixels > 0) & (pixels < 1)).any()


def test_what_the_latent_leaves_out_repeats_the_edge():
    assert covered_size((21, 30), 8) == (16, 24)
    masks = torch.zeros(1, 2, 3)
    masks[0, 0, 0] = 1
    pixels = to_pixels(masks, (21, 30), covered=(16, 24))[0]
    # 21 - 16 = 5 rows left over, 2 of them above; 6 columns, 3 of them left.
    assert pixels[:10, :11].all() and pixels.sum() == 110


def test_smooth_masks_are_disjoint_and_cover_what_they_covered(three_concepts):
    masks = smooth_masks(three_concepts.masks, (64, 96))
    assert masks.shape == (3, 64, 96) and masks.dtype == torch.bool
    assert (masks.sum(0) <= 1).all()
    hard = to_pixels(three_concepts.masks, (64, 96)) > 0.5
    assert ((masks & hard).sum((1, 2)) / (masks | hard).sum((1, 2))).min() > 0.75
    full = smooth_masks(torch.ones(1, 2, 2, dtype=torch.bool), (5, 5))
    assert full.all()


def test_no_masks_and_bad_sizes():
    assert to_pixels(torch.zeros(0, 2, 2), (4, 4)).shape == (0, 4, 4)
    with pytest.raises(ValueError, match="covered part 0x8"):
        to_pixels(torch.zeros(1, 2, 2), (7, 8), covered=(0, 8))
    with pytest.raises(ValueError, match=r"\(N, h, w\)"):
        to_pixels(torch.zeros(2, 2), (4, 4))
