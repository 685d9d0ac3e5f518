import pytest
import torch

from concept_atelier.bench.localize.baselines import (
    ceiling,
    kmeans_of_colours,
    kmeans_of_rows,
    majority,
    random_boxes,
    without_background,
)
from concept_atelier.bench.metrics import score_masks


@pytest.fixture
def truth():
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0, 8:32, 8:32], masks[1, 40:56, 32:56] = True, True
    return masks


def test_colours_that_separate_objects_are_enough_for_k_means(truth):
    picture = torch.full((1, 3, 64, 64), 0.9)
    picture[0, :, truth[0]] = torch.tensor([1.0, 0.0, 0.0])[:, None]
    picture[0, :, truth[1]] = torch.tensor([0.0, 0.0, 1.0])[:, None]
    assert score_masks(kmeans_of_colours(picture, 2, seed=0), truth).miou == 1


def test_rows_that_separate_objects_are_enough_for_k_means(truth):
    cells = truth[:, ::8, ::8]
    groups = (cells * torch.tensor([1, 2])[:, None, None]).sum(0).flatten()
    rows = (groups[:, None] == groups[None]).float()
    found = kmeans_of_rows(rows / rows.sum(1, keepdim=True), (8, 8), 2, seed=0)
    assert score_masks(found, cells).miou == 1


def test_the_cluster_around_the_border_is_background():
    labels = torch.tensor([[5, 5, 5, 5], [5, 2, 9, 5], [5, 2, 9, 9], [5, 5, 5, 5]])
    assert [mask.sum().item() for mask in without_background(labels)] == [2, 3]


def test_ceiling_is_perfect_on_cell_borders_and_below_otherwise(truth):
    assert score_masks(ceiling(truth, (64, 64)), truth).miou == 1
    inner = score_masks(ceiling(truth, (8, 8)), truth).miou
    assert 0.85 < inner < 1  # smooth outlines round the corners
    assert score_masks(ceiling(truth.roll(3, 1), (8, 8)), truth.roll(3, 1)).miou < inner


def test_random_boxes_keep_areas_and_depend_on_the_seed(truth):
    boxes = random_boxes(truth, 0)
    assert boxes.sum((1, 2)).tolist() == [576, 400]  # 384 pixels become a square of side 20
    assert torch.equal(boxes, random_boxes(truth, 0)) and not torch.equal(boxes, random_boxes(truth, 1))


def test_majority_leaves_out_what_covers_no_cell(truth):
    speck = torch.zeros(1, 64, 64, dtype=torch.bool)
    speck[0, 0, 0] = True
    assert torch.equal(majority(torch.cat([truth, speck]), (8, 8)), truth[:, ::8, ::8])
    assert majority(truth[:0], (8, 8)).shape == (0, 8, 8)
