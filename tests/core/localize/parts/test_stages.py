from dataclasses import replace

import pytest
import torch

from concept_atelier.core.localize.parts.settings import PAPER, SMALL_GRID
from concept_atelier.core.localize.parts.stages import (
    concepts_from_attention,
    drop_background,
    parts_of,
    pre_cluster,
)

SCENES = {
    "two apart": ((16, 16), [(2, 2, 6, 6), (8, 9, 6, 6)]),
    "two that touch": ((16, 16), [(2, 2, 6, 6), (2, 8, 6, 6)]),
    "four, two at the edge": ((16, 16), [(0, 0, 5, 5), (2, 8, 6, 6), (9, 2, 6, 7), (10, 10, 5, 5)]),
    "wide": ((12, 24), [(2, 2, 7, 8), (3, 14, 6, 7)]),
}


def found_labels(concepts, labels):
    """The label that each concept covers exactly, or None."""
    exact = [labels[mask].mode().values.item() for mask in concepts.masks]
    return [n if torch.equal(m, labels == n) else None for m, n in zip(concepts.masks, exact, strict=True)]


@pytest.mark.parametrize("scene", list(SCENES))
@pytest.mark.parametrize("preset", [PAPER, SMALL_GRID])
def test_known_objects_come_back_exactly(scene, preset, labels_of, attention_of):
    grid, boxes = SCENES[scene]
    labels = labels_of(grid, boxes)
    attention = attention_of(labels)
    concepts = concepts_from_attention(attention, (labels > 0).float() + 0.1, preset, (128, 128))
    assert sorted(found_labels(concepts, labels)) == list(range(1, len(boxes) + 1))
    assert concepts.names == tuple(str(i) for i in range(1, len(boxes) + 1))
    assert torch.allclose(concepts.targets.sum((1, 2)), torch.ones(len(concepts)), atol=1e-5)
    assert (concepts.scores > 1).all() and (concepts.scores.diff() <= 1e-6).all()
    for mask, target in zip(concepts.masks, concepts.targets, strict=True):
        assert target[mask].sum() > 0.6


def test_one_large_object_is_one_concept_where_the_release_leaves_pieces(labels_of, attention_of):
    labels = labels_of((16, 16), [(3, 3, 9, 9)])
    saliency = (labels > 0).float()
    whole = concepts_from_attention(attention_of(labels), saliency, SMALL_GRID, (128, 128))
    assert found_labels(whole, labels) == [1]
    pieces = concepts_from_attention(attention_of(labels), saliency, PAPER, (128, 128))
    assert len(pieces) > 1
    assert torch.equal(pieces.masks.any(0), labels == 1)


def test_adjacency_keeps_twins_apart(labels_of, attention_of):
    """Two far boxes whose cells attend to both: alike to the model, two concepts all the same."""
    boxes = labels_of((16, 16), [(2, 1, 5, 5), (9, 10, 5, 5)])
    attention = attention_of((boxes > 0).long())
    saliency = (boxes > 0).float()
    apart = concepts_from_attention(attention, saliency, SMALL_GRID, (128, 128))
    assert sorted(found_labels(apart, boxes)) == [1, 2]
    loose = replace(SMALL_GRID, adjacency=False, merge_threshold=50.0)
    together = concepts_from_attention(attention, saliency, loose, (128, 128))
    assert len(together) == 1
    assert together.masks[0, boxes > 0].all()  # both boxes


def test_the_merge_threshold_moves_the_number_of_concepts(labels_of, attention_of):
    labels = labels_of((16, 16), [(2, 2, 6, 6), (8, 9, 6, 6)])
    attention, saliency = attention_of(labels), (labels > 0).float()
    counts = [
        len(
            concepts_from_attention(attention, saliency, replace(SMALL_GRID, merge_threshold=f, min_area=0), (128, 128))
        )
        for f in (0.0, 1.0)
    ]
    assert counts[0] > counts[1] == 2


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_wanted_number_is_met(count, labels_of, attention_of):
    labels = labels_of((16, 16), [(2, 2, 6, 6), (8, 9, 6, 6)])
    settings = replace(SMALL_GRID, count=count, min_area=0)
    concepts = concepts_from_attention(attention_of(labels), (labels > 0).float(), settings, (128, 128))
    assert len(concepts) == count
    assert torch.equal(concepts.masks.any(0), labels > 0)
    assert (concepts.masks.sum(0) <= 1).all()


def test_more_than_there_are_parts_is_noted(labels_of, attention_of):
    labels = labels_of((8, 8), [(2, 2, 3, 3)])
    settings = replace(SMALL_GRID, count=40, min_area=0)
    concepts = concepts_from_attention(attention_of(labels), (labels > 0).float(), settings, (64, 64))
    assert 1 <= len(concepts) < 40
    assert any("40 concepts were wanted" in note for note in concepts.notes)


def test_too_few_clusters_fall_back_to_the_finest_level(labels_of):
    labels = labels_of((8, 8), [(2, 2, 4, 4)]).flatten()
    rows = (labels[:, None] == labels[None]).float() + 1e-3  # two kinds of rows: two clusters at once
    level, tau, notes = pre_cluster(rows / rows.sum(1, keepdim=True), 10)
    assert level.count == 2 and tau == 0.0
    assert "10 were asked for" in notes[0] and "smallest pieces" in notes[1]
    concepts = concepts_from_attention(rows, (labels > 0).float().view(8, 8), PAPER, (64, 64))
    assert torch.equal(concepts.masks[0].flatten(), labels == 1)
    assert set(notes) <= set(concepts.notes)


def test_when_nothing_is_salient_the_most_salient_part_is_taken(labels_of, attention_of):
    labels = labels_of((16, 16), [(2, 2, 6, 6)])
    saliency = (labels > 0).float() + 0.5
    strict = replace(PAPER, saliency_threshold=1000.0)
    concepts = concepts_from_attention(attention_of(labels), saliency, strict, (128, 128))
    assert len(concepts) >= 1
    assert any("most salient was taken" in note for note in concepts.notes)
    assert not concepts.masks.any(0)[labels == 0].any()


def test_a_flat_map_keeps_everything(labels_of, attention_of):
    labels = labels_of((16, 16), [(2, 2, 6, 6)])
    for level in (0.0, 0.7):
        concepts = concepts_from_attention(attention_of(labels), torch.full((16, 16), level), PAPER, (128, 128))
        assert concepts.masks.any(0).all()
        assert any("flat" in note for note in concepts.notes)


def test_small_and_surplus_concepts_are_dropped_and_reported(labels_of, attention_of):
    labels = labels_of((16, 16), [(1, 1, 7, 6), (9, 9, 6, 6), (10, 1, 4, 4)])
    attention, saliency = attention_of(labels), (labels > 0).float() + 0.1
    large = concepts_from_attention(attention, saliency, replace(SMALL_GRID, min_area=0.07), (128, 128))
    assert sorted(found_labels(large, labels)) == [1, 2]
    assert any("smaller than 7.0%" in note for note in large.notes)
    one = concepts_from_attention(attention, saliency, replace(SMALL_GRID, max_concepts=1), (128, 128))
    assert len(one) == 1 and any("3 concepts were found; the 1 that" in note for note in one.notes)
    none = concepts_from_attention(attention, saliency, replace(SMALL_GRID, min_area=0.9), (128, 128))
    assert found_labels(none, labels) == [1] and any("the largest was kept" in note for note in none.notes)


def test_background_is_what_is_below_the_threshold(labels_of, attention_of):
    labels = labels_of((16, 16), [(2, 2, 6, 6)])
    level, _, _ = pre_cluster(attention_of(labels), 10)
    saliency = (labels > 0).float()
    kept, notes = drop_background(parts_of(level, saliency), saliency, 1.0)
    assert torch.equal(kept.masks.any(0), labels == 1) and notes == ()


@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (1, 7), (3, 2)])
def test_tiny_grids_give_at_least_one_concept(grid):
    cells = grid[0] * grid[1]
    rows = torch.rand(cells, cells, generator=torch.Generator().manual_seed(0)) + 0.1
    for preset in (PAPER, SMALL_GRID, replace(SMALL_GRID, count=3)):
        concepts = concepts_from_attention(rows, torch.rand(grid), preset, (8, 8))
        assert len(concepts) >= 1 and concepts.grid == grid and concepts.masks.any(2).any(1).all()


def test_broken_input_is_refused(attention_of, labels_of):
    attention = attention_of(labels_of((4, 4), []))
    with pytest.raises(ValueError, match="does not fit a saliency map of 4x5"):
        concepts_from_attention(attention, torch.ones(4, 5), PAPER, (32, 32))
    with pytest.raises(ValueError, match="saliency map holds NaN"):
        concepts_from_attention(attention, torch.full((4, 4), torch.nan), PAPER, (32, 32))
    with pytest.raises(ValueError, match="NaN"):
        concepts_from_attention(torch.full((16, 16), torch.nan), torch.rand(4, 4), PAPER, (32, 32))
