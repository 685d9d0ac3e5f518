import pytest
import torch

from concept_atelier.core.explain.scores import PictureScores, strengths
from tests.core.explain.test_bank import codes


def test_concepts_are_ranked_by_the_size_of_their_mean():
    scores = PictureScores(torch.tensor([[0.1, -3.0, 1.0], [0.3, -1.0, 1.0]]), ("a", "b", "c"), "importance")
    assert len(scores) == 2 and scores.ranked() == [1, 2, 0] and scores.ranked(1) == [1]
    torch.testing.assert_close(scores.means(), torch.tensor([0.2, -2.0, 1.0]))


def test_strengths_are_the_largest_codes_of_each_picture():
    found = strengths(codes([[[0.2, 0, 0], [1.0, 0, 0], [0, 0, 0], [0, 0.8, 0]]]))
    torch.testing.assert_close(found.values, torch.tensor([[1.0, 0.8, 0.0]]))
    assert found.names == ("a", "b", "c")


def test_pictures_may_have_names_and_then_each_has_one():
    scores = PictureScores(torch.ones(2, 1), ("a",), "strength", reasons=("why", "why not"))
    named = scores.of_pictures(["1.png", "2.png"])
    assert scores.pictures == () and named.pictures == ("1.png", "2.png") and named.reasons == scores.reasons
    with pytest.raises(ValueError, match="2 pictures need as many names, got 1"):
        scores.of_pictures(["1.png"])


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (torch.zeros(2, 3), ("a", "b"), "must be"),
        (torch.zeros(0, 2), ("a", "b"), "at least one"),
        (torch.zeros(2, 2), ("a", "a"), "must differ"),
        (torch.full((2, 2), float("nan")), ("a", "b"), "not finite"),
    ],
)
def test_scores_that_say_nothing_are_refused(values, names, message):
    with pytest.raises(ValueError, match=message):
        PictureScores(values, names, "strength")
