import pytest
import torch

from concept_atelier.core.masks.from_masks import concepts_from_masks, masks_to_grid, separate


def boxes(size, *edges):
    masks = torch.zeros(len(edges), *size, dtype=torch.bool)
    for mask, (top, bottom, left, right) in zip(masks, edges, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def test_masks_on_cell_borders_come_back_exactly():
    masks = boxes((32, 48), (0, 16, 0, 16), (16, 32, 24, 48))
    concepts = concepts_from_masks(masks, (32, 48), (4, 6))
    assert torch.equal(concepts.masks.repeat_interleave(8, 1).repeat_interleave(8, 2), masks)
    assert concepts.names == ("1", "2") and concepts.picture_size == (32, 48)
    assert torch.equal(concepts.targets, concepts.masks / concepts.masks.sum((1, 2), keepdim=True))


def test_soft_masks_count_from_one_half_and_two_dimensions_are_one_mask():
    soft = torch.full((16, 16), 0.49)
    soft[:8, :8] = 0.5
    concepts = concepts_from_masks(soft, (16, 16), (2, 2))
    assert concepts.masks.tolist() == [[[True, False], [False, False]]]


def test_targets_are_mean_attention_rows_or_the_mask():
    attention = torch.rand(16, 16, generator=torch.Generator().manual_seed(0)).softmax(1)
    masks = boxes((16, 16), (0, 8, 0, 4), (8, 16, 8, 16))
    concepts = concepts_from_masks(masks, (16, 16), (4, 4), attention)
    inside = concepts.masks[0].flatten()
    assert torch.allclose(concepts.targets[0].flatten(), attention[inside].mean(0), atol=1e-6)
    plain = concepts_from_masks(masks, (16, 16), (4, 4), attention, target="mask")
    assert torch.equal(plain.targets > 0, plain.masks)
    with pytest.raises(ValueError, match="does not fit masks of 4 cells"):
        concepts_from_masks(masks, (16, 16), (2, 2), attention)


def test_an_overlap_belongs_to_the_smaller_mask_whatever_the_order():
    head, hat = boxes((16, 16), (4, 16, 0, 16), (0, 8, 4, 12))
    for masks in (torch.stack([head, hat]), torch.stack([hat, head])):
        parts = dict(zip(masks.sum((1, 2)).tolist(), separate(masks), strict=True))
        assert torch.equal(parts[64], hat) and torch.equal(parts[192], head & ~hat)
    first, last = separate(boxes((4, 4), (0, 4, 0, 3), (0, 4, 1, 4)))
    assert last.sum() == 12 and first.sum() == 4  # among equals the last


def test_a_cell_goes_to_whoever_covers_most_of_it():
    masks = boxes((4, 8), (0, 4, 0, 3), (0, 1, 3, 4), (0, 4, 6, 8))
    # left cell: 12 of 16 pixels against 1; right cell: 8 of 16, a tie with the background.
    with pytest.raises(ValueError, match="mask 2 is too small for a grid of 1x2"):
        masks_to_grid(masks, (1, 2))
    assert masks_to_grid(masks[[0, 2]], (1, 2)).tolist() == [[[True, False]], [[False, True]]]


def test_a_small_mask_gets_its_best_cell():
    masks = boxes((16, 16), (0, 1, 5, 7))
    assert masks_to_grid(masks, (4, 4)).nonzero().tolist() == [[0, 0, 1]]
    speck = torch.cat([boxes((16, 16), (0, 16, 0, 16)), boxes((16, 16), (9, 10, 9, 10))])
    cells = concepts_from_masks(speck, (16, 16), (4, 4)).masks
    assert cells[1].nonzero().tolist() == [[2, 2]] and cells[0].sum() == 15


def test_other_sizes_are_stretched_to_the_picture():
    masks = boxes((4, 4), (0, 2, 0, 4))
    concepts = concepts_from_masks(masks, (64, 96), (8, 12))
    assert concepts.masks[0].nonzero()[:, 0].max() == 3 and concepts.masks[0].sum() == 48
    with pytest.raises(ValueError, match="mask 1 vanishes"):
        concepts_from_masks(boxes((100, 100), (0, 1, 0, 1)), (8, 8), (1, 1))


def test_only_the_part_that_the_latent_covers_counts():
    masks = boxes((20, 16), (0, 10, 0, 16), (0, 2, 0, 16))
    concepts = concepts_from_masks(masks[:1], (20, 16), (2, 2), covered=(16, 16))
    assert concepts.masks[0].tolist() == [[True, True], [False, False]]
    with pytest.raises(ValueError, match="mask 1 lies wholly in the edge"):
        concepts_from_masks(masks[1:], (20, 16), (2, 2), covered=(16, 16))


def test_empty_broken_and_hidden_masks_are_refused_by_number():
    empty = boxes((8, 8), (0, 4, 0, 4), (0, 0, 0, 0), (4, 8, 4, 8), (3, 3, 0, 8))
    with pytest.raises(ValueError, match="^each of the masks 2, 4 is empty"):
        concepts_from_masks(empty, (8, 8), (2, 2))
    with pytest.raises(ValueError, match="^each of the masks 1, 2, .* 20 and 40 more is empty"):
        concepts_from_masks(torch.zeros(60, 8, 8), (8, 8), (2, 2))
    broken = empty[:2].float()
    broken[1, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="mask 2 holds NaN"):
        concepts_from_masks(broken, (8, 8), (2, 2))
    with pytest.raises(ValueError, match="mask 1 is wholly covered"):
        concepts_from_masks(boxes((8, 8), (0, 8, 0, 8), (0, 8, 0, 4), (0, 8, 4, 8)), (8, 8), (2, 2))
    with pytest.raises(ValueError, match="2 masks need as many names, got 1"):
        concepts_from_masks(boxes((8, 8), (0, 4, 0, 8), (4, 8, 0, 8)), (8, 8), (2, 2), names=["a"])
    for shape in ((0, 8, 8), (1, 1, 8, 8), (1, 0, 8)):
        with pytest.raises(ValueError, match=r"\(N, H, W\)"):
            concepts_from_masks(torch.ones(shape), (8, 8), (2, 2))


def test_inputs_are_left_alone():
    masks = boxes((8, 8), (0, 8, 0, 8), (0, 4, 0, 4))
    before = masks.clone()
    concepts_from_masks(masks, (8, 8), (4, 4))
    assert torch.equal(masks, before)
