from itertools import combinations

import pytest
import torch

from concept_atelier.core.recognise.diverse import EPS, pick_diverse
from concept_atelier.core.recognise.soft_trim import TrimSettings, beyond_others, soft_trim
from concept_atelier.core.recognise.zero_shot import concept_bayes, concept_matrix

PUBLISHED = TrimSettings(upper=0)


def normal(seed=0, count=50):
    return 25 + torch.randn(count, generator=torch.Generator().manual_seed(seed))


def test_without_outliers_the_weights_are_the_steepest_sigmoid():
    scores = torch.linspace(24, 26, 51)  # none beyond 2.5 deviations
    middle, apart = 25.0, 0.52
    expected = torch.sigmoid(4 * (scores - middle) / (apart + 1e-6))
    score, weights = soft_trim(scores, PUBLISHED)
    torch.testing.assert_close(weights, expected / expected.sum(), rtol=1e-3, atol=1e-5)
    assert float(score) == pytest.approx(float((expected * scores).sum() / expected.sum()), abs=1e-3)


@pytest.mark.parametrize("upper", [0.0, 3.0])
def test_a_planted_low_concept_is_ignored(upper):
    for seed in range(10):
        scores = normal(seed)
        planted = scores.clone()
        planted[7] = 15.0
        before, after = (float(soft_trim(one, TrimSettings(upper=upper))[0]) for one in (scores, planted))
        assert abs(after - before) < 0.12 < abs(float(planted.mean() - scores.mean()))


def test_one_false_concept_far_above_does_not_carry_a_class_with_the_upper_bound():
    rises = {upper: [] for upper in (0.0, 3.0)}
    for seed in range(10):
        scores = normal(seed)
        planted = scores.clone()
        planted[7] = 45.0
        for upper, found in rises.items():
            settings = TrimSettings(upper=upper)
            found.append(float(soft_trim(planted, settings)[0] - soft_trim(scores, settings)[0]))
    published, bounded = (sum(found) / len(found) for found in rises.values())
    assert published > 0.4 and abs(bounded) < 0.2


def test_a_false_concept_of_one_class_is_cut_where_the_classes_share_their_concepts():
    """The first of three classes is right by 2; concepts differ by far more, so that one which fits the third class as
    well as the best of the first stands out only beside what it gives to the other classes."""
    noise = 0.2 * torch.rand(3, 9, generator=torch.Generator().manual_seed(0))
    scores = torch.linspace(0, 20, 9) + torch.tensor([[2.0], [0.0], [0.0]]) + noise
    scores[2, 3] = scores[0].max()
    lead = {
        name: float(one[0] - one[2])
        for name, one in (
            ("published", soft_trim(scores, PUBLISHED)[0]),
            ("bounded", soft_trim(scores)[0]),
            ("compared", soft_trim(beyond_others(scores))[0]),
        )
    }
    assert lead["published"] < 1 and lead["bounded"] < 1.5 < lead["compared"] == pytest.approx(2, abs=0.3)
    assert torch.equal(beyond_others(scores).quantile(0.5, 0), torch.zeros(9))


def test_shared_concepts_are_compared_unless_the_paper_is_asked_for(world):
    pictures, _ = world
    prompts = [torch.eye(8)[6] + torch.eye(8)[:3], torch.eye(8)[7] + torch.eye(8)[:3]]
    found = concept_bayes(pictures, prompts, scale=10, shared=True)
    assert found.probabilities.argmax(1).tolist() == [0, 1, 1]
    torch.testing.assert_close(found.scores[0], -found.scores[1])  # of two classes, what one has the other lacks
    published = concept_bayes(pictures, prompts, TrimSettings(upper=0, beyond=False), scale=10, shared=True)
    assert torch.equal(published.scores[0], concept_bayes(pictures, prompts, PUBLISHED, scale=10).scores[0])
    with pytest.raises(ValueError, match="as many prompts"):
        concept_bayes(pictures, [prompts[0], prompts[1][:2]], shared=True)


def test_one_concept_is_its_own_score_and_none_is_refused():
    score, weights = soft_trim(torch.tensor([[2.0], [3.0]]))
    assert score.tolist() == [2, 3] and weights.tolist() == [[1], [1]]
    with pytest.raises(ValueError, match="at least one concept"):
        soft_trim(torch.zeros(2, 0))


def test_the_greedy_choice_makes_the_determinant_largest_at_every_step():
    for seed in range(4):
        features = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)).double()
        unit = torch.nn.functional.normalize(features, dim=1)
        kernel = (unit @ unit.T).float().double() + EPS * torch.eye(8)
        chosen = pick_diverse(features, 4)
        for size in range(1, 4):
            given, rest = chosen[:size], [index for index in range(8) if index not in chosen[:size]]
            best = max(rest, key=lambda index: torch.det(kernel[[*given, index]][:, [*given, index]]))
            assert chosen[size] == best


def test_copies_are_picked_last():
    base = torch.eye(3)
    features = torch.cat([base[:1], base[:1] + 1e-3, base[1:]])
    assert set(pick_diverse(features, 3)) == {0, 2, 3} and pick_diverse(features, 9)[-1] == 1
    pairs = {frozenset(pick_diverse(features[list(order)], 2)) for order in combinations(range(4), 2)}
    assert pairs == {frozenset({0, 1})}
    with pytest.raises(ValueError, match="at least 1"):
        pick_diverse(features, 0)


@pytest.fixture(scope="module")
def world():
    """Two classes with three concepts each, pictures near one concept of each class."""
    axes = torch.eye(8)
    prompts = [axes[:3] + axes[6], axes[3:6] + axes[7]]
    pictures = torch.stack([axes[6] + 0.8 * axes[1], axes[7] + 0.8 * axes[3], axes[7] + 0.8 * axes[5]])
    return pictures, prompts


def test_pictures_go_to_their_class_and_say_by_which_concept(world):
    pictures, prompts = world
    found = concept_bayes(pictures, prompts, scale=10)
    assert found.probabilities.argmax(1).tolist() == [0, 1, 1]
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(3))
    assert [found.carried(0, 0)[0], found.carried(1, 1)[0], found.carried(2, 1)[0]] == [1, 0, 2]
    assert concept_bayes(pictures[:1], prompts).carried(0, 0)[0] == 1
    assert found.carried(0, 1) == []  # what speaks against a class is no reason for it
    with pytest.raises(ValueError, match="at least two classes"):
        concept_bayes(pictures, prompts[:1])


@pytest.mark.parametrize("columns", ["standard", "sum"])
def test_the_concept_matrix_does_not_depend_on_the_order_of_concepts(world, columns):
    pictures, prompts = world
    concepts, classes = torch.eye(8)[:6] + 0.1, torch.stack([one.mean(0) for one in prompts])
    found, parts = concept_matrix(pictures, classes, concepts, columns)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    again, _ = concept_matrix(pictures, classes, concepts[order], columns)
    torch.testing.assert_close(found, again)
    torch.testing.assert_close(parts.sum(2), found)
    assert found.argmax(1).tolist() == [0, 1, 1]


def test_with_a_reference_a_picture_is_judged_alike_whatever_stands_beside_it(world):
    pictures, prompts = world
    concepts, classes = torch.eye(8)[:6] + 0.1, torch.stack([one.mean(0) for one in prompts])
    every, _ = concept_matrix(pictures, classes, concepts, "standard", pictures)
    alone, _ = concept_matrix(pictures[:1], classes, concepts, "standard", pictures)
    torch.testing.assert_close(every[:1], alone)
    with pytest.raises(ValueError, match="not above 0"):
        concept_matrix(-pictures, classes, concepts, "sum")
