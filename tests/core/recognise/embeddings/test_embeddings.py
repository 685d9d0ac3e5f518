"""Canonical correlation, sparse named weights and edits, on planted pairs."""

import pytest
import torch

from concept_atelier.core.recognise.embeddings.align import AlignSettings, align
from concept_atelier.core.recognise.embeddings.decompose import (
    Edit,
    change_of,
    decompose,
    edited_weights,
    name_axes,
    positive_lasso,
)
from tests.core.explain.conftest import origin

NAMES = ("fox", "snow", "watercolor")


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def planted():
    """4000 pairs that share three factors with correlations of 0.9, 0.6 and 0.3, turned at random."""
    shared, own, other = (noise(4000, 3, seed=seed) for seed in range(3))
    known = torch.tensor([0.9, 0.6, 0.3])
    first = shared
    second = known * shared + (1 - known**2).sqrt() * own
    turn = torch.linalg.qr(noise(8, 8, seed=4))[0]
    pictures = torch.cat([first, noise(4000, 5, seed=5)], 1) @ turn + 3
    texts = torch.cat([second, other[:, :3]], 1) @ torch.linalg.qr(noise(6, 6, seed=6))[0] - 1
    return pictures, texts, known


@pytest.fixture(scope="module")
def named():
    """400 pictures made of three concepts and noise, and the alignment of them with their captions' vectors."""
    on = torch.rand(400, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    atoms = noise(3, 16, seed=1)
    pictures = on.float() @ atoms + 0.05 * noise(400, 16, seed=2)
    texts = on.float() @ noise(3, 12, seed=3) + 0.05 * noise(400, 12, seed=4)
    axes = align(pictures, texts, AlignSettings(shrinkage=0.01))
    return name_axes(axes, pictures, on, NAMES, origin(width=16)), pictures, texts, on


def test_planted_correlations_are_recovered(planted):
    pictures, texts, known = planted
    axes = align(pictures, texts, AlignSettings(shrinkage=1e-4))
    torch.testing.assert_close(axes.correlations[:3], known, atol=0.04, rtol=0)
    assert float(axes.correlations[3:].max()) < 0.1
    places = axes.of_pictures(pictures)
    torch.testing.assert_close(places.T @ places / len(places), torch.eye(places.shape[1]), atol=0.01, rtol=0)


def test_shrinkage_keeps_few_pairs_from_looking_alike():
    pictures, texts = noise(20, 64, seed=0), noise(20, 64, seed=1)
    assert float(align(pictures, texts, AlignSettings(shrinkage=1e-6)).correlations[0]) > 0.99
    assert float(align(pictures, texts, AlignSettings(shrinkage=0.5)).correlations[0]) < 0.95
    with pytest.raises(ValueError, match="at least 8 pairs"):
        align(pictures[:4], texts[:4])
    with pytest.raises(ValueError, match="are the same"):
        align(torch.ones(9, 4), texts[:9])


def test_a_change_of_place_moves_a_picture_there_and_nowhere_else(planted):
    pictures, texts, _ = planted
    axes = align(pictures, texts, AlignSettings(axes=3))
    step = torch.tensor([[0.5, -1.0, 0.25]])
    moved = pictures[:5] + step @ axes.lift.T
    torch.testing.assert_close(axes.of_pictures(moved) - axes.of_pictures(pictures[:5]), step.expand(5, 3))


def test_weights_name_what_is_there(named):
    alignment, pictures, texts, on = named
    found = decompose(alignment, alignment.axes.of_pictures(pictures))
    assert float((found.weights[on] - 1).abs().mean()) < 0.2 and float(found.weights[~on].mean()) < 0.1
    assert float(found.explained.mean()) > 0.9
    by_text = decompose(alignment, alignment.axes.of_texts(texts))
    assert bool(((by_text.weights > 0.5) == on).float().mean() > 0.97)


def test_lasso_is_at_its_minimum():
    rows, atoms = noise(6, 10, seed=0), noise(14, 10, seed=1)
    penalty = torch.full((6, 1), 0.8)
    weights = positive_lasso(rows, atoms, penalty)
    slope = (rows - weights @ atoms) @ atoms.T - penalty  # what is gained by more of an atom
    assert float(slope[weights > 0].abs().max()) < 1e-4 and float(slope[weights == 0].max()) < 1e-4
    assert 0 < int((weights > 0).sum()) < weights.numel()
    assert float(positive_lasso(rows, atoms, (rows @ atoms.T).amax(1, keepdim=True)).max()) < 1e-6


def test_edits_change_what_they_name_and_leave_the_rest(named):
    alignment, pictures, _, on = named
    which = pictures[(on[:, 0] & ~on[:, 1])][:20]
    places = alignment.axes.of_pictures(which)
    weights = decompose(alignment, places, 0.0).weights
    swapped = edited_weights(weights, [Edit(0, to=1)])
    assert not bool(swapped[:, 0].any())
    torch.testing.assert_close(swapped[:, 1], weights[:, 0] + weights[:, 1])
    new = which + change_of(alignment, weights, swapped)
    again = decompose(alignment, alignment.axes.of_pictures(new), 0.0).weights
    torch.testing.assert_close(again, swapped, atol=0.1, rtol=0)
    assert which.add(change_of(alignment, weights, weights)).equal(which)
    twice = edited_weights(weights, [Edit(2, factor=2.0), Edit(0, value=0.5)])
    torch.testing.assert_close(twice[:, 2], 2 * weights[:, 2])
    assert bool((twice[:, 0] == 0.5).all()) and twice[:, 1].equal(weights[:, 1])


def test_concepts_that_captions_do_not_separate_have_no_direction(named):
    alignment, pictures, _, on = named
    always = torch.cat([on[:, :1], torch.ones(400, 1, dtype=torch.bool)], 1)
    assert name_axes(alignment.axes, pictures, always, ("fox", "picture"), origin(width=16)).names == ("fox",)
    with pytest.raises(ValueError, match="no concept is mentioned"):
        name_axes(alignment.axes, pictures, always[:, 1:], ("picture",), origin(width=16))
    with pytest.raises(ValueError, match="has no concept 'cat'; it has"):
        alignment.index("cat")
