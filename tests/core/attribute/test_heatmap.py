import pytest
import torch

from concept_atelier.core.attention.maps import AttentionMaps
from concept_atelier.core.attribute.heatmap import normalise, word_heatmaps
from concept_atelier.core.backbone import Token, TokenizedText

TEXT = TokenizedText((Token("red", 1, 0), Token("gir", 2, 1), Token("affe", 3, 1), Token("red", 4, 2)), 0, 5, 6)
GRID = (2, 3)


@pytest.fixture
def maps(generator):
    cross = torch.rand(2, 6, *GRID, generator=generator).softmax(1)
    return AttentionMaps({GRID: cross}, {}, {GRID: 1}, {}, {GRID: 1}, {})


def test_a_word_is_the_mean_of_its_tokens_and_occurrences(maps):
    heat = word_heatmaps(maps, TEXT, ["giraffe", "red"])
    assert heat.shape == (2, 2, *GRID)
    torch.testing.assert_close(heat[0], maps.cross[GRID][:, 2:4].mean(1))
    torch.testing.assert_close(heat[1], maps.cross[GRID][:, [1, 4]].mean(1))


def test_per_cell_divides_by_the_texts_own_tokens(maps):
    heat = word_heatmaps(maps, TEXT, ["giraffe", "red"], per_cell=True)
    torch.testing.assert_close(heat.sum(0) * 2, torch.ones(2, *GRID))  # two tokens each: means sum to a half


def test_another_size(maps):
    assert word_heatmaps(maps, TEXT, ["red"], (4, 5)).shape == (1, 2, 4, 5)


def test_absent_words_and_no_words_are_refused(maps):
    with pytest.raises(ValueError, match="'cat' is not in the text"):
        word_heatmaps(maps, TEXT, ["red", "cat"])
    with pytest.raises(ValueError, match="at least one word"):
        word_heatmaps(maps, TEXT, [])


def test_relative_stretches_each_map_and_absolute_leaves_it(maps):
    heat = word_heatmaps(maps, TEXT, ["giraffe", "red"])
    stretched = normalise(heat)
    assert stretched.amin((-2, -1)).eq(0).all() and stretched.amax((-2, -1)).eq(1).all()
    assert normalise(heat, "absolute").equal(heat)
    assert normalise(torch.full((1, 2, 2), 0.3)).equal(torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match="'relative' or 'absolute'"):
        normalise(heat, "loud")
