"""Scores of compositions: known answers."""

import pytest
import torch

from concept_atelier.core.evaluate.composition import Attributes, Sighting, score_composition

SOURCES = torch.eye(3)
ONCE = torch.ones(3, 4, dtype=torch.long)


def score(names, regions, sources, counts, shares=None, **more):
    """Scores; without shares each concept lies in its own region alone."""
    own = torch.eye(len(names))[:, None].repeat(1, regions.shape[1], 1)
    sighting = Sighting(counts, torch.zeros(*counts.shape, 1, 1))
    return score_composition(names, regions, sources, sighting, shares or (own, own.sum(2) - 1), **more)


def test_regions_that_look_like_their_concepts_score_one():
    found = score(["a", "b", "c"], SOURCES[:, None].expand(3, 4, 3), SOURCES, ONCE)
    assert (
        torch.equal(found.identity, torch.ones(3))
        and torch.equal(found.nearest_shares, torch.eye(3))
        and found.exact == 1
    )


def test_a_region_with_anothers_concept_is_like_that():
    """In two of four pictures the first region looks like the second concept."""
    regions = SOURCES[:, None].repeat(1, 4, 1)
    regions[0, :2] = SOURCES[1]
    found = score(["a", "b", "c"], regions, SOURCES, ONCE)
    assert found.nearest_shares[0].tolist() == [0.5, 0.5, 0.0] and found.own.tolist() == [0.5, 1.0, 1.0]
    assert found.exact == 0.5 and found.identity.tolist() == [0.5, 1.0, 1.0]


def test_rows_of_nearest_concepts_add_up_to_one(generator):
    regions, sources = torch.randn(4, 6, 8, generator=generator), torch.randn(4, 8, generator=generator)
    found = score("abcd", regions, sources, torch.ones(4, 6))
    torch.testing.assert_close(found.nearest_shares.sum(1), torch.ones(4))
    assert found.exact <= float(found.own.min())


def test_counts_say_in_how_many_pictures_each_concept_stands_once():
    counts = torch.tensor([[1, 1, 2, 1], [1, 0, 1, 1], [1, 1, 1, 1]])
    found = score(["a", "b", "c"], SOURCES[:, None].expand(3, 4, 3), SOURCES, counts)
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
        score(names, regions, sources, torch.ones(regions.shape[:2]))


def test_counts_of_other_pictures_are_refused():
    with pytest.raises(ValueError, match="give \\(K, P\\)"):
        score(["a", "b", "c"], SOURCES[:, None].expand(3, 4, 3), SOURCES, torch.ones(3, 5))


def test_leaks_are_means_over_the_pictures_that_show_the_concept():
    shares = torch.tensor([[[1.0, 0.0], [0.5, 0.25]], [[0.2, 0.6], [torch.nan, torch.nan]]])  # (K, P, K)
    regions = torch.eye(2)[:, None].repeat(1, 2, 1)
    counts = torch.tensor([[1, 1], [1, 0]])
    found = score(["a", "b"], regions, torch.eye(2), counts, (shares, 1 - shares.sum(2)))
    torch.testing.assert_close(found.leaks, torch.tensor([[0.75, 0.125], [0.2, 0.6]]))
    torch.testing.assert_close(found.lies_outside, torch.tensor([0.125, 0.2]))


def test_a_style_has_no_place():
    """Every region looks most like the style; it is no rival, is not counted, and nothing lies in its region."""
    regions = torch.tensor([[1.0, 0.2, 3.0], [0.2, 1.0, 3.0], [0.0, 0.0, 1.0]])[:, None]
    counts = torch.tensor([[1], [1], [0]])
    found = score("abs", regions, SOURCES, counts, styles=torch.tensor([False, False, True]))
    assert found.exact == 1 and found.all_once == 1 and found.once[2].isnan()
    assert found.leaks[2].isnan().all() and found.leaks[:, 2].isnan().all() and found.lies_outside[2].isnan()
    assert found.leaks[:2, :2].tolist() == [[1, 0], [0, 1]] and found.identity[2] == 1


def test_attributes_are_judged_where_the_concept_is_seen():
    attributes = Attributes(
        ("red", None, "blue"),
        (("red", "blue", None, "red"), (None,) * 4, (None,) * 4),
        ("red", None, "blue"),
        "a test",
    )
    right = attributes.right()
    assert right[0] == pytest.approx(2 / 3) and right[1:].isnan().all()


def test_a_right_picture_has_each_concept_once_in_its_region_with_its_attribute():
    """Five pictures: all right, one twice, one mostly elsewhere, one with another colour, one missing."""
    own = torch.tensor([[0.9, 0.9, 0.4, 0.9, torch.nan], [0.8] * 5])
    shares = torch.diag_embed(own.T).permute(1, 0, 2)  # (K, P, K)
    counts = torch.tensor([[1, 1, 1, 1, 0], [1, 2, 1, 1, 1]])
    seen = (("red", "red", "red", "blue", None), ("blue",) * 5)
    sighting = Sighting(counts, torch.zeros(2, 5, 1, 1), Attributes(("red", "blue"), seen, ("red", "blue"), "a test"))
    regions = torch.eye(2)[:, None].repeat(1, 5, 1)
    found = score_composition(["a", "b"], regions, torch.eye(2), sighting, (shares, 1 - shares.sum(2)))
    assert found.all_right == pytest.approx(0.2) and found.all_placed == pytest.approx(0.6)
    assert found.all_once == pytest.approx(0.6)
