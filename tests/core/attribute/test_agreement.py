"""Agreement of maps: known correlations, thresholds and overlaps."""

import pytest
import torch

from concept_atelier.core.attribute.agreement import correlations, otsu_threshold, overlaps, regions_of

SQUARE = torch.zeros(8, 8)
SQUARE[2:6, 2:6] = 1


def test_correlation_is_of_the_shape_and_not_of_the_scale():
    maps = torch.stack([SQUARE, 0.1 + 0.5 * SQUARE, 1 - SQUARE, torch.full((8, 8), 0.3)])
    found = correlations(maps)
    expected = torch.tensor([[1.0, 1, -1, 0], [1, 1, -1, 0], [-1, -1, 1, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(found, expected)


def test_correlation_of_several_words_is_that_of_each():
    maps = torch.rand(3, 2, 5, 7, generator=torch.Generator().manual_seed(1))
    found = correlations(maps)
    assert found.shape == (2, 3, 3)
    for word in range(2):
        torch.testing.assert_close(found[word], torch.corrcoef(maps[:, word].flatten(1)))


def test_otsu_parts_two_groups_wherever_they_lie():
    heat = torch.cat([torch.linspace(0.05, 0.15, 90), torch.linspace(0.7, 0.9, 10)]).view(10, 10)
    assert 0.15 <= otsu_threshold(heat) <= 0.7
    assert int((heat > otsu_threshold(heat)).sum()) == 10


def test_regions_are_the_brighter_part_and_none_of_an_even_map():
    faint = torch.stack([0.2 + 0.01 * SQUARE, torch.full((8, 8), 0.4)])
    found = regions_of(faint)
    assert torch.equal(found[0], SQUARE > 0) and not found[1].any()


def test_overlap_counts_cells():
    half = SQUARE.bool().clone()
    half[:, 4:] = False
    masks = torch.stack([SQUARE > 0, torch.zeros(8, 8, dtype=torch.bool)])
    assert overlaps(torch.stack([half, half & ~half]), masks).tolist() == pytest.approx([0.5, 0.0])
    assert overlaps(SQUARE[None] > 0, masks[:1]).tolist() == [1.0]
