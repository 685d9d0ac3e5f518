"""Masks by words: the maths on made attention, the whole on a model at random weights, and on the trained one."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.masks.words import (
    PRESETS,
    Sight,
    WordSettings,
    cross_grids,
    leading,
    localize_words,
    masks_of,
    matched,
    self_grid,
    spread,
)

GRID = (8, 12)
BOXES = [(1, 1, 4, 4), (3, 7, 4, 4)]
QUICK = replace(PRESETS["small_grid"], draws=1, cross_least_side=4)


@pytest.fixture
def sight(labels_of, attention_of):
    """Two boxes: self-attention stays within them, each word sees one corner of its own."""
    labels = labels_of(GRID, BOXES)
    cross = 0.05 * torch.rand(3, *GRID, generator=torch.Generator().manual_seed(0))
    for word, (top, left, _, _) in enumerate(BOXES):
        cross[word, top : top + 2, left : left + 2] += 0.3
    cross[2] += 0.3 * (labels == 0)
    return Sight(cross, attention_of(labels)), labels


def test_a_glimpse_of_each_word_spreads_to_its_whole_object(sight):
    seen, labels = sight
    found = masks_of(seen, WordSettings(margin=0.1))
    assert found.distinct and (found.masks.sum(0) <= 1).all()
    for word in (0, 1):
        truth = labels == word + 1
        iou = (found.masks[word] & truth).sum() / (found.masks[word] | truth).sum()
        assert iou > 0.9
        unspread = leading(spread(seen.cross, seen.affinity, 2.0, 0), 0.1)[word]
        assert (unspread & truth).sum() < 0.5 * truth.sum()


def test_spread_is_what_the_equation_says():
    generator = torch.Generator().manual_seed(1)
    cross, affinity = torch.rand(2, 2, 3, generator=generator), torch.rand(6, 6, generator=generator)

    def mm(x):
        return (x - x.min()) / (x.max() - x.min())

    reach = mm(affinity)
    reach = mm(reach @ reach @ reach @ reach)
    for k in range(2):
        expected = mm(reach @ mm(cross[k] ** 2).flatten()).view(2, 3)
        torch.testing.assert_close(spread(cross, affinity)[k], expected, atol=1e-5, rtol=1e-4)


def test_a_cell_needs_a_lead_over_all_others():
    relevance = torch.tensor([[[0.9, 0.5, 0.2]], [[0.1, 0.45, 0.8]], [[0.3, 0.0, 0.75]]])
    assert leading(relevance, 0.1).int().tolist() == [[[1, 0, 0]], [[0, 0, 0]], [[0, 0, 0]]]
    assert leading(relevance, 0.04).int().tolist() == [[[1, 1, 0]], [[0, 0, 1]], [[0, 0, 0]]]
    assert leading(relevance, 0.1, fill=True).sum(0).eq(1).all()


def test_regions_are_matched_to_what_fills_them_and_empty_ones_to_nothing():
    relevance = torch.tensor([[[0.9, 0.1, 0.2]], [[0.1, 0.8, 0.1]], [[0.2, 0.2, 0.1]]])
    masks = torch.tensor([[[0, 1, 0]], [[1, 0, 0]], [[0, 0, 0]]]).bool()
    assert matched(relevance, masks) == [1, 0, -1]
    found = masks_of(Sight(torch.ones(3, 2, 2), torch.eye(4)), WordSettings())
    assert not found.distinct


def test_grids_are_the_papers_on_large_latents_and_the_finest_affordable_on_small(lab_backbone):
    sites = lab_backbone.attention_sites()
    assert self_grid(sites, (64, 64), WordSettings()) == (32, 32)
    assert cross_grids(sites, (64, 64), WordSettings()) == ((16, 16),)
    assert self_grid(sites, (16, 16), PRESETS["small_grid"]) == (16, 16)
    assert self_grid(sites, (64, 64), PRESETS["small_grid"]) == (32, 32)
    assert set(cross_grids(sites, (16, 16), PRESETS["small_grid"])) == {(16, 16), (8, 8)}
    with pytest.raises(ValueError, match="there is 1/n, n in"):
        cross_grids(sites, (64, 64), WordSettings(cross_downscale=16))
    with pytest.raises(ValueError, match="no self-attention at 1/16"):
        self_grid(sites, (64, 64), WordSettings(self_downscale=16))


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "at least one word"), (["cat", "Cat"], "cat: named twice"), (["a<b"], "cannot name a concept")],
)
def test_words_are_checked(lab_backbone, words, message):
    with pytest.raises(ValueError, match=message):
        localize_words(lab_backbone, torch.rand(1, 3, 64, 64), words)


def test_words_without_a_place_are_named(lab_backbone, monkeypatch):
    """A word that the model sees nowhere: its map is the background's in every cell."""
    from concept_atelier.core.masks import words as attencraft

    flat = Sight(torch.rand(3, 8, 8) * torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1), torch.eye(64))
    monkeypatch.setattr(attencraft, "look", lambda *given: flat)
    monkeypatch.setattr(attencraft, "spread", lambda cross, *given: cross)
    with pytest.raises(ValueError, match="no place was found for dog in 4 looks"):
        localize_words(lab_backbone, torch.rand(1, 3, 64, 64), ["cat", "dog"], QUICK)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timesteps": (0.3, 0.3)},
        {"draws": 0},
        {"tries": 0},
        {"margin": 1.0},
        {"cross_power": 0.0},
        {"affinity_power": -1},
        {"template": "a photo"},
    ],
    ids=str,
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        WordSettings(**wrong)


@pytest.fixture(scope="module")
def trained():
    """The lab model with its weights, and a scene of two objects."""
    from concept_atelier.lab.bench.cases import case_of
    from concept_atelier.lab.bench.command import load_backbone
    from concept_atelier.lab.world.scene import SceneSettings, sample_scene

    settings = SceneSettings(counts=(2,), tinted=0.0, patterned=0.0)
    return load_backbone(), case_of(sample_scene("development", 12, settings), 12)


def test_named_objects_are_found_in_a_scene(trained):
    from concept_atelier.core.masks.upsample import smooth_masks

    backbone, case = trained
    found = localize_words(backbone, case.picture, case.names, PRESETS["small_grid"], seed=0)
    assert found.names == tuple("-".join(name.split()) for name in case.names) and (found.masks.sum(0) <= 1).all()
    torch.testing.assert_close(found.targets.sum((1, 2)), torch.ones(2))
    assert (found.scores > 1).all()
    pixels = smooth_masks(found.masks, found.picture_size, found.covered)
    ious = [float((a & b).sum() / (a | b).sum()) for a, b in zip(pixels, case.masks, strict=True)]
    assert min(ious) > 0.4
    again = localize_words(backbone, case.picture, case.names, PRESETS["small_grid"], seed=0)
    assert again.masks.equal(found.masks) and again.targets.equal(found.targets)
    swapped = localize_words(backbone, case.picture, case.names[::-1], PRESETS["small_grid"], seed=0)
    crossed = [float((a & b).sum() / (a | b).sum()) for a, b in zip(swapped.masks.flip(0), found.masks, strict=True)]
    assert min(crossed) > 0.5
