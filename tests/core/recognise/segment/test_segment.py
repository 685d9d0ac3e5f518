"""Words that stand out, and pictures divided among them, with known answers."""

import pytest
import torch
from torch.nn.functional import normalize

from concept_atelier.core.explain.activations import Activations
from concept_atelier.core.recognise.segment.conceive import ConceiveSettings, conceive
from concept_atelier.core.recognise.segment.dense import directions_of, spread_over, word_shares
from tests.core.explain.conftest import origin


@pytest.fixture(scope="module")
def words():
    """Forty directions of 512 numbers, unlike each other."""
    return normalize(torch.randn(40, 512, generator=torch.Generator().manual_seed(0)), dim=1)


def test_planted_words_are_found_and_no_others(words):
    pictures = torch.stack([words[3], words[5] + words[7], words[11] + 0.01 * words[20]])
    present, lead = conceive(pictures, words[:20], words[20:])
    assert present.nonzero().tolist() == [[0, 3], [1, 5], [1, 7], [2, 11]]
    assert lead.shape == (3, 20) and float(lead[present].min()) > 2


def test_a_picture_of_something_else_shows_no_word_of_the_vocabulary(words):
    present, lead = conceive(words[30:31], words[:20], words[20:])
    assert not bool(present.any()) or float(lead[present].max()) < 4
    present, _ = conceive(words[30:31], words[:20], words[20:], ConceiveSettings(surety=4.0))
    assert not bool(present.any())


def test_settings_bound_how_many_words_are_found(words):
    pictures = words[:6].sum(0, keepdim=True)
    assert int(conceive(pictures, words, words[:0], ConceiveSettings(share=0.5))[0].sum()) == 6
    assert int(conceive(pictures, words, words[:0], ConceiveSettings(share=0.5, most=2))[0].sum()) == 2
    uneven = words[:1] + 0.7 * words[1:2]
    assert conceive(uneven, words, words[:0], ConceiveSettings(share=0.95))[0].nonzero().tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="at least 8 words"):
        conceive(pictures, words[:3], words[3:5])


def test_the_lead_does_not_depend_on_other_pictures_or_lengths(words):
    pictures = torch.stack([words[3], words[5]])
    lead = conceive(pictures, words, words[:0])[1]
    torch.testing.assert_close(conceive(3 * pictures[:1], 2 * words, words[:0])[1], lead[:1])


def test_shares_follow_the_maps_of_words_that_are_present(words):
    grid = torch.zeros(1, 4, 4, 512)
    grid[0, :, :2], grid[0, :, 2:] = words[3], words[5]
    maps = torch.einsum("phwd,vd->pvhw", grid, directions_of(words[:20], words[20:]))
    both = torch.zeros(1, 20, dtype=torch.bool)
    both[0, [3, 5]] = True
    shares = word_shares(maps, both, (8, 8))
    assert shares.shape == (20, 1, 8, 8) and shares.argmax(0)[0, :, :3].eq(3).all() and shares.max() <= 1
    assert shares.argmax(0)[0, :, 5:].eq(5).all()
    one = both.clone()
    one[0, 5] = False
    alone = word_shares(maps, one, (8, 8))
    assert not bool(alone[5].any()) and float(alone[3, 0, :, 7].max()) < 0.2
    assert not bool(word_shares(maps, torch.zeros_like(both), (8, 8)).any())


def test_a_map_spreads_over_positions_that_are_alike_and_no_further():
    halves = torch.zeros(1, 4, 4, 24)
    halves[:, :, :2, 0], halves[:, :, 2:, 1] = 1, 1
    seen = Activations(halves.flatten(1, 2), (4, 4), origin(site="16"))
    spot = torch.zeros(1, 1, 4, 4)
    spot[..., 0, 0] = 1
    found = spread_over(spot, seen, warmth=0.05)[0, 0]
    torch.testing.assert_close(found[:, :2], torch.full((4, 2), 1 / 8))
    assert float(found[:, 2:].max()) < 1e-6
    torch.testing.assert_close(spread_over(spot, seen, steps=0), spot)
    assert spread_over(torch.ones(1, 2, 2, 2), seen).allclose(torch.ones(1, 2, 4, 4))
