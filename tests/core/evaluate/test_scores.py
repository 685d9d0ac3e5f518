"""SIM^I, SIM^C and ACC^k: known answers, and what must hold of any features."""

import math

import pytest
import torch

from concept_atelier.core.evaluate.prototypes import Prototypes
from concept_atelier.core.evaluate.scores import ConceptScores, score_concepts

NAMES = ("cat", "dog", "hat", "tree")


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def random_prototypes(names, width, generator):
    names = tuple(names)
    return Prototypes(names, torch.randn(len(names), width, generator=generator))


def scored(drawn, prototypes, names=NAMES, **settings):
    anything = torch.ones(1, drawn.shape[-1])
    return score_concepts(names, drawn, prototypes, anything, anything, **settings)


def by_hand():
    """Two concepts of two pictures each, among three candidates, cosines written down."""
    cosines = torch.tensor([[[0.9, 0.2, 0.1], [0.3, 0.6, 0.5]], [[0.8, 0.1, 0.4], [0.2, 0.7, 0.1]]])
    return cosines, ("cat", "dog", "hat")


def test_known_answers():
    cosines, candidates = by_hand()
    scores = ConceptScores(("cat", "dog"), candidates, cosines, torch.tensor([0.5, 0.7]))
    assert torch.allclose(scores.sim_i, torch.tensor([0.6, 0.4]))
    assert scores.sim_c == pytest.approx(0.6)
    assert scores.ranks.tolist() == [[0, 2], [2, 0]]
    assert scores.accuracy(1).tolist() == [0.5, 0.5]
    assert scores.accuracy(2).tolist() == [0.5, 0.5]
    assert scores.accuracy(3).tolist() == [1.0, 1.0]
    assert scores.draws == 2 and scores.chance(1) == pytest.approx(1 / 3)
    (first, like_first), (second, like_second) = scores.nearest_other()
    assert (first, second) == ("dog", "cat") and (like_first, like_second) == pytest.approx((0.4, 0.5))
    assert scores.seen_as() == (("cat", "dog"), ("cat", "dog"))


def test_known_answers_of_the_mean_picture():
    cosines, candidates = by_hand()
    scores = ConceptScores(("cat", "dog"), candidates, cosines, torch.zeros(1), average=True)
    assert scores.mean_ranks.tolist() == [0, 1]  # means are 0.6 0.4 0.3 and 0.5 0.4 0.25
    assert scores.accuracy(1).tolist() == [1.0, 0.0] and scores.accuracy(2).tolist() == [1.0, 1.0]


def test_the_mean_of_the_features_is_ranked_as_the_mean_of_the_cosines(generator):
    prototypes = random_prototypes(NAMES, 6, generator)
    drawn = torch.randn(4, 5, 6, generator=generator)
    scores = scored(drawn, prototypes, average=True)
    mean = torch.nn.functional.normalize(torch.nn.functional.normalize(drawn, dim=-1).mean(1), dim=-1)
    best = (mean @ prototypes.features.T).argmax(1)
    assert (scores.accuracy(1) == (best == torch.arange(4))).all() and 0 < scores.accuracy(1).sum() < 4


def test_pictures_that_are_the_source_score_one(generator):
    prototypes = random_prototypes(NAMES, 16, generator)
    drawn = 3 * prototypes.features[:, None].expand(-1, 5, -1)
    scores = score_concepts(NAMES, drawn, prototypes, prototypes.features[:1] * 2, prototypes.features[:1])
    assert torch.allclose(scores.sim_i, torch.ones(4)) and scores.sim_c == pytest.approx(1.0)
    assert (scores.accuracy(1) == 1).all() and (scores.ranks == 0).all()
    assert scores.seen_as() == tuple((name,) * 5 for name in NAMES)


def test_permuted_names_lose_everything_and_random_features_fall_to_chance(generator):
    prototypes = random_prototypes(NAMES, 16, generator)
    drawn = prototypes.features[:, None].expand(-1, 5, -1)
    assert (scored(drawn, Prototypes(NAMES[1:] + NAMES[:1], prototypes.features)).accuracy(1) == 0).all()
    many = random_prototypes(map(str, range(20)), 64, generator)
    guessed = scored(torch.randn(20, 200, 64, generator=generator), many, many.names)
    for k in (1, 3):
        assert float(guessed.accuracy(k).mean()) == pytest.approx(guessed.chance(k), abs=0.03)


def test_with_as_many_tries_as_candidates_everything_is_right(generator):
    prototypes = random_prototypes(NAMES, 8, generator)
    scores = scored(torch.randn(4, 3, 8, generator=generator), prototypes)
    assert [float(scores.accuracy(k).min()) for k in (4, 7)] == [1.0, 1.0]
    values = [scores.accuracy(k) for k in (1, 2, 3, 4)]
    assert all((more >= less).all() for less, more in zip(values, values[1:], strict=False))
    assert scores.chance(9) == 1.0


def test_lengths_of_features_do_not_matter(generator):
    prototypes = random_prototypes(NAMES, 8, generator)
    drawn = torch.randn(4, 3, 8, generator=generator)
    lengths = torch.rand(4, 3, 1, generator=generator) * 100 + 0.01
    one, other = scored(drawn, prototypes), scored(drawn * lengths, prototypes)
    assert torch.allclose(one.sim_i, other.sim_i, atol=1e-6) and one.ranks.equal(other.ranks)


def test_more_candidates_never_help(generator):
    prototypes = random_prototypes(NAMES, 8, generator)
    drawn = prototypes.features[:, None] + 0.5 * torch.randn(4, 8, 8, generator=generator)
    few = scored(drawn, prototypes)
    many = scored(drawn, prototypes.with_others(random_prototypes(map(str, range(30)), 8, generator)))
    assert torch.allclose(few.sim_i, many.sim_i)
    assert (many.accuracy(1) <= few.accuracy(1)).all() and many.accuracy(1).sum() < few.accuracy(1).sum()
    assert len(many.candidates) == 34


def test_the_order_of_the_candidates_does_not_matter(generator):
    prototypes = random_prototypes(NAMES, 8, generator)
    drawn = torch.randn(4, 3, 8, generator=generator)
    order = [2, 0, 3, 1]
    turned = Prototypes(tuple(NAMES[i] for i in order), prototypes.features[order])
    one, other = scored(drawn, prototypes), scored(drawn, turned)
    assert torch.allclose(one.sim_i, other.sim_i) and one.ranks.equal(other.ranks)
    assert one.seen_as() == other.seen_as()


def test_an_encoder_that_says_the_same_of_everything_distinguishes_nothing():
    scores = scored(torch.ones(4, 3, 8), Prototypes(NAMES, torch.ones(4, 8)))
    assert torch.allclose(scores.sim_i, torch.ones(4))
    assert (scores.accuracy(1) == 0).all() and (scores.accuracy(3) == 0).all()
    assert all(name not in seen for name, seen in zip(NAMES, scores.seen_as(), strict=True))


def test_of_a_single_candidate_there_is_no_other():
    scores = scored(torch.ones(1, 3, 8), Prototypes(("cat",), torch.ones(1, 8)), ("cat",))
    assert scores.accuracy(1).tolist() == [1.0] and scores.seen_as() == (("cat",) * 3,)
    ((name, value),) = scores.nearest_other()
    assert name == "" and math.isnan(value)


@pytest.mark.parametrize(
    ("drawn", "names", "message"),
    [
        (torch.ones(2, 3, 8), ("cat",), "1 concepts need features"),
        (torch.ones(1, 8), ("cat",), "1 concepts need features"),
        (torch.ones(1, 3, 8), ("owl",), "no prototype is called 'owl'"),
        (torch.ones(1, 3, 7), ("cat",), "same picture encoder"),
    ],
)
def test_what_cannot_be_scored(drawn, names, message):
    with pytest.raises(ValueError, match=message):
        scored(drawn, Prototypes(NAMES, torch.eye(8)[:4]), names)


def test_scores_that_do_not_fit():
    with pytest.raises(ValueError, match="none of the candidates"):
        ConceptScores(("owl",), ("cat",), torch.ones(1, 1, 1), torch.ones(1))
    with pytest.raises(ValueError, match="need similarities"):
        ConceptScores(("cat",), ("cat", "dog"), torch.ones(1, 2, 1), torch.ones(1))
    with pytest.raises(ValueError, match="k of 1 or more"):
        ConceptScores(("cat",), ("cat",), torch.ones(1, 1, 1), torch.ones(1)).accuracy(0)
