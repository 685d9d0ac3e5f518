import pytest
import torch

from concept_atelier.core.data.adaptive_weights import GREATEST, LoggedLoss, adaptive_weights, ascend


def test_weights_stay_on_the_simplex_rise_with_the_labelled_loss_and_stay_where_losses_are_equal():
    weights = torch.tensor([0.5, 0.5, 0.5, 0.99], dtype=torch.float64)
    after = ascend(weights, torch.tensor([2.0, 0.1, 1.0, 50.0]), torch.tensor([1.0, 0.5, 1.0, 0.0]))
    assert bool((after >= 0).all()) and bool((after <= 1).all())
    assert after[0] > 0.5 > after[1] and after[2] == pytest.approx(0.5)
    ratio = (after[0] / (1 - after[0])).log()
    assert float(ratio) == pytest.approx(2.0), "the odds grow by exp(rate * difference)"


def test_losses_are_compared_within_a_level_of_noise():
    """The second picture was only seen at a level where every loss is high."""
    lines = [LoggedLoss("a", 1.0, 0.5, "low"), LoggedLoss("b", 2.0, 0.5, "low")]
    lines += [LoggedLoss("c", 101.0, 0.5, "high"), LoggedLoss("d", 100.0, 0.5, "high")]
    found = adaptive_weights(lines)
    assert found["b"] > 0.5 > found["a"]
    assert (found["c"], found["d"]) == pytest.approx((found["b"], found["a"]))


def test_a_label_weighs_at_most_so_much_and_less_where_it_may_be_wrong():
    lines = [LoggedLoss("a", 9.0, 0.0), *(LoggedLoss(str(n), 0.0, 0.0) for n in range(9))]
    assert adaptive_weights(lines, rate=50)["a"] == GREATEST
    assert adaptive_weights(lines, rate=50, noise={"a": 0.5})["a"] == pytest.approx(GREATEST / 2)


def test_logs_that_cannot_be_read_are_refused():
    with pytest.raises(ValueError, match="empty"):
        adaptive_weights([])
    with pytest.raises(ValueError, match="x has a loss that is not finite"):
        adaptive_weights([LoggedLoss("x", float("nan"), 0.0)])
