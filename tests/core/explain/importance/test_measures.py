"""What importances must be where the answer is known."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.explain.bank import ConceptCodes
from concept_atelier.core.explain.fidelity import ORDERS, measure_fidelity
from concept_atelier.core.explain.importance.head import Head, Question, linear_head
from concept_atelier.core.explain.importance.method import Budget
from concept_atelier.core.explain.importance.registry import MEASURES, best_measure, importances
from concept_atelier.core.explain.importance.sobol import total_indices
from tests.core.explain.test_bank import bank

CONCEPTS, WIDTH, PICTURES = 8, 12, 5


def question(head=None):
    """Five pictures of four positions with up to eight concepts, and a score that is linear unless one is given."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.nn.functional.normalize(torch.randn(CONCEPTS, WIDTH, generator=generator), dim=1)
    values = torch.rand(PICTURES, 4, CONCEPTS, generator=generator)
    values = values * (torch.rand(PICTURES, 1, CONCEPTS, generator=generator) < 0.8)
    found = bank(
        CONCEPTS,
        WIDTH,
        names=tuple("abcdefgh"),
        directions=directions,
        scale=0.5 + torch.rand(WIDTH, generator=generator),
    )
    rows = values @ (directions * found.scale) + 0.1 * torch.randn(PICTURES, 4, WIDTH, generator=generator)
    weights = torch.randn(WIDTH, generator=generator)
    return Question(ConceptCodes(values, (2, 2), found), head or linear_head(rows, weights, "the probe"))


def test_on_a_linear_score_closed_form_gradient_and_removal_agree():
    asked = question()
    exact = importances(asked, MEASURES["closed_form"])
    for name in ("gradient", "removal"):
        torch.testing.assert_close(importances(asked, MEASURES[name]), exact, rtol=1e-4, atol=1e-5)
    assert best_measure(asked).name == "closed_form" and bool((exact < 0).any()) and bool((exact > 0).any())


def test_jansen_estimates_of_an_additive_score_are_its_squared_coefficients():
    """f = sum c_i m_i with m uniform in 0..1: the total index of m_i is c_i² / sum c²."""
    weights = torch.tensor([3.0, -2.0, 1.0, 0.5, 0.0])
    found = total_indices(lambda factors: factors @ weights + 7, 5, 512, seed=1)
    torch.testing.assert_close(found, weights.square() / weights.square().sum(), rtol=0.06, atol=2e-3)


def test_jansen_estimates_of_a_product_count_what_factors_do_together():
    """f = m_1 m_2: each total index is E[m²]/12 / (1/9 - 1/16) = 4/7, though the first-order one is 3/7."""
    found = total_indices(lambda factors: factors[:, 0] * factors[:, 1], 3, 2048, seed=2)
    torch.testing.assert_close(found, torch.tensor([4 / 7, 4 / 7, 0.0]), rtol=0.04, atol=1e-3)


def test_few_scrambled_points_already_have_the_right_size_and_order():
    """An unscrambled Halton sequence would return a third of the largest index of 20 factors at 32 points."""
    weights = torch.arange(1.0, 21.0)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    true = weights.square() / weights.square().sum()
    found = torch.stack([total_indices(lambda factors: factors @ weights, 20, 32, seed) for seed in range(10)])
    assert 0.8 < float(found.mean(0).max() / true.max()) < 1.25
    assert float(torch.corrcoef(torch.stack([found.mean(0), true]))[0, 1]) > 0.99


def test_sobol_indices_of_a_linear_score_have_the_signs_of_the_closed_form():
    asked = question()
    exact, found = importances(asked, MEASURES["closed_form"]), importances(asked, MEASURES["sobol"], Budget(512))
    assert torch.equal(found.sign(), exact.sign())
    share = exact.square() / exact.square().sum(1, keepdim=True)
    torch.testing.assert_close(found.abs(), share, rtol=0.15, atol=5e-3)


def test_nothing_matters_to_a_constant_score_nor_a_concept_that_is_not_there():
    constant = question(Head(lambda picture, changes: torch.full((len(changes),), 3.0), "nothing"))
    assert float(importances(constant, MEASURES["sobol"]).abs().max()) == 0
    asked = question()
    absent = asked.codes.values.amax(1) == 0
    assert bool(absent.any()) and float(importances(asked, MEASURES["sobol"])[absent].abs().max()) == 0


def test_all_codes_in_place_change_nothing():
    seen = []
    asked = question(Head(lambda picture, changes: seen.append(changes) or torch.zeros(len(changes)), "nothing"))
    asked.scores(0, torch.ones(2, CONCEPTS))
    assert torch.equal(seen[0], torch.zeros(2, 4, WIDTH))


def test_a_question_that_a_measure_cannot_answer_is_refused():
    asked = question(Head(lambda picture, changes: changes.sum((1, 2)), "the drawing", no_gradient="It has none."))
    with pytest.raises(ValueError, match="no closed form; choose sobol"):
        importances(asked, MEASURES["closed_form"])
    with pytest.raises(ValueError, match="It has none. Choose sobol"):
        importances(asked, MEASURES["gradient"])


def test_the_closed_form_is_faithful_and_no_other_order_does_better():
    """Optimal for deletion and insertion of a linear score (arXiv 2306.07304), and mu-fidelity is 1."""
    asked = question()
    exact = importances(asked, MEASURES["closed_form"])
    found = measure_fidelity(asked, exact)
    torch.testing.assert_close(found.mu, torch.ones(PICTURES), rtol=1e-3, atol=1e-3)
    deletion, insertion = found.areas()
    for other in range(1, len(ORDERS)):
        assert float(deletion[0]) < float(deletion[other]) and float(insertion[0]) > float(insertion[other])
    assert found.better_than("random") == 1.0
    backwards = measure_fidelity(asked, -exact)
    assert backwards.better_than("random") == 0.0 and float(backwards.mu.max()) < -0.99


def test_gradients_pass_in_inference_mode_as_nodes_run():
    with torch.inference_mode():
        asked = question()
        asked = Question(replace(asked.codes, values=asked.codes.values.clone()), asked.head)
        torch.testing.assert_close(
            importances(asked, MEASURES["gradient"]), importances(asked, MEASURES["removal"]), rtol=1e-3, atol=1e-4
        )
