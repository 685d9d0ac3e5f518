"""Masks by words: the maths on made attention, and the layers that are read."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.masks.words import (
    PRESETS,
    WordAttention,
    WordSettings,
    cross_grids,
    leading,
    masks_from_attention,
    matched,
    read_word_attention,
    self_grid,
    spread,
)
from concept_atelier.host.adapters import backbone_of

GRID = (8, 12)
BOXES = [(1, 1, 4, 4), (3, 7, 4, 4)]


@pytest.fixture
def attention(labels_of, attention_of):
    """Two boxes: self-attention stays within them, each word sees one corner of its own."""
    labels = labels_of(GRID, BOXES)
    cross = 0.05 * torch.rand(3, *GRID, generator=torch.Generator().manual_seed(0))
    for word, (top, left, _, _) in enumerate(BOXES):
        cross[word, top : top + 2, left : left + 2] += 0.3
    cross[2] += 0.3 * (labels == 0)
    return WordAttention(cross, attention_of(labels)), labels


def test_a_glimpse_of_each_word_spreads_to_its_whole_object(attention):
    seen, labels = attention
    found = masks_from_attention(seen, WordSettings(margin=0.1))
    assert found.distinct and (found.masks.sum(0) <= 1).all()
    for word in (0, 1):
        truth = labels == word + 1
        iou = (found.masks[word] & truth).sum() / (found.masks[word] | truth).sum()
        assert iou > 0.9
        unspread = leading(spread(seen.cross, seen.affinity, 2.0, 0), 0.1)[word]
        assert (unspread & truth).sum() < 0.5 * truth.sum()


def test_without_a_token_for_it_the_background_is_what_no_word_reaches(attention):
    seen, labels = attention
    found = masks_from_attention(WordAttention(seen.cross[:2], seen.affinity, background=False), WordSettings())
    assert found.distinct and found.masks.shape == (3, *GRID)
    torch.testing.assert_close(found.relevance[2], 1 - found.relevance[:2].amax(0))
    for word in (0, 1):
        truth = labels == word + 1
        assert (found.masks[word] & truth).sum() / (found.masks[word] | truth).sum() > 0.9
    assert (found.masks[2] & (labels == 0)).sum() > 0.9 * (labels == 0).sum()
    halves = torch.zeros(2, 2, 2)
    halves[0, 0] = halves[1, 1] = 1.0
    all_taken = masks_from_attention(WordAttention(halves, torch.eye(4), background=False), WordSettings())
    assert all_taken.distinct and all_taken.masks.flatten(1).sum(1).tolist() == [2, 2, 0]


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
    found = masks_from_attention(WordAttention(torch.ones(3, 2, 2), torch.eye(4)), WordSettings())
    assert not found.distinct


def test_grids_are_the_papers_on_large_latents_and_the_finest_affordable_on_small(lab_backbone):
    sites = lab_backbone.attention_sites()
    assert self_grid(sites, (64, 64), WordSettings()) == (32, 32)
    assert cross_grids(sites, (64, 64), WordSettings()) == ((16, 16),)
    assert self_grid(sites, (16, 16), PRESETS["small"]) == (16, 16)
    assert self_grid(sites, (64, 64), PRESETS["small"]) == (32, 32)
    assert set(cross_grids(sites, (16, 16), PRESETS["small"])) == {(16, 16), (8, 8)}
    with pytest.raises(ValueError, match="there is 1/n, n in"):
        cross_grids(sites, (64, 64), WordSettings(cross_downscale=16))
    with pytest.raises(ValueError, match="no self-attention at 1/16"):
        self_grid(sites, (64, 64), WordSettings(self_downscale=16))


def test_where_all_attention_lies_on_one_grid_it_is_read_there(lab_transformer):
    sites = backbone_of(*lab_transformer).attention_sites()
    for settings in PRESETS.values():
        assert self_grid(sites, (64, 64), settings) == (64, 64)
        assert cross_grids(sites, (64, 64), settings) == ((64, 64),)
    with pytest.raises(ValueError, match="no cross-attention"):
        cross_grids((), (64, 64), WordSettings())
    with pytest.raises(ValueError, match="no self-attention"):
        self_grid((), (64, 64), WordSettings())


@pytest.mark.parametrize("settings", [PRESETS["small"], PRESETS["paper"]], ids=["small", "paper"])
def test_the_layers_and_the_noise_asked_for_are_read(lab_transformer, settings):
    backbone = backbone_of(*lab_transformer)
    latent = torch.randn(1, 4, 6, 7, generator=torch.Generator().manual_seed(0))

    def read(**changes):
        generator = torch.Generator().manual_seed(1)
        return read_word_attention(backbone, latent, ["cat", "dog"], replace(settings, **changes), generator)

    name = backbone.attention_sites()[1].name
    one, other = read(noise=0.5), read(noise=0.5, layers=(name,))
    assert one.cross.shape == other.cross.shape == (3, 6, 7) and one.background
    torch.testing.assert_close(other.affinity.sum(1), torch.ones(42))
    assert not torch.equal(one.cross, other.cross) and not torch.equal(one.cross, read(noise=0.1).cross)
    apart = read(noise=0.5, self_layers=(name,))
    assert torch.equal(apart.cross, one.cross) and torch.equal(apart.affinity, other.affinity)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timesteps": (0.3, 0.3)},
        {"draws": 0},
        {"noise": 1.2},
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
