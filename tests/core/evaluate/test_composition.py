"""Scores of compositions: known answers."""

import pytest
import torch

from concept_atelier.core.evaluate.composition import score_composition

SOURCES = torch.eye(3)
ONCE = torch.ones(3, 4, dtype=torch.long)


def test_regions_that_look_like_their_concepts_score_one():
    found = score_composition(["a", "b", "c"], SOURCES[:, None].expand(3, 4, 3), SOURCES, ONCE)
    assert torch.equal(found.identity, torch.ones(3)) and torch.equal(found.leaks, torch.eye(3)) and found.exact == 1


def test_a_region_with_anothers_concept_is_a_leak():
    """In two of four pictures the first region looks like the second concept."""
    regions = SOURCES[:, None].repeat(1, 4, 1)
    regions[0, :2] = SOURCES[1]
    found = score_composition(["a", "b", "c"], regions, SOURCES, ONCE)
    assert found.leaks[0].tolist() == [0.5, 0.5, 0.0] and found.own.tolist() == [0.5, 1.0, 1.0]
    assert found.exact == 0.5 and found.identity.tolist() == [0.5, 1.0, 1.0]


def test_rows_of_leaks_add_up_to_one(generator):
    regions, sources = torch.randn(4, 6, 8, generator=generator), torch.randn(4, 8, generator=generator)
    found = score_composition("abcd", regions, sources, torch.ones(4, 6))
    torch.testing.assert_close(found.leaks.sum(1), torch.ones(4))
    assert found.exact <= float(found.own.min())


def test_counts_say_in_how_many_pictures_each_concept_stands_once():
    counts = torch.tensor([[1, 1, 2, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
    found = score_composition(["a", "b", "c"], SOURCES[:, None].expand(3, 4, 3), SOURCES, counts)
    assert found.once.tolist() == [0.75, 0.75, 1.0] and found.all_once == 0.5


@pytest.mark.parametrize(
    ("names", "regions", "sources", "message"),
    [
        (["a"], torch.ones(1, 2, 3), torch.ones(1, 3), "two concepts or more"),
        (["a", "b"], torch.ones(3, 2, 3), torch.ones(2, 3), "as many of each"),
        (["a", "b"], torch.ones(2, 2, 3), torch.ones(2, 4), "same picture encoder"),
    ],
)
def test_what_does_not_fit_is_refused(names, regions, sources, message):
    with pytest.raises(ValueError, match=message):
        score_composition(names, regions, sources, torch.ones(regions.shape[:2]))


def test_counts_of_other_pictures_are_refused():
    with pytest.raises(ValueError, match="give \\(K, P\\)"):
        score_composition(["a", "b", "c"], SOURCES[:, None].expand(3, 4, 3), SOURCES, torch.ones(3, 5))
