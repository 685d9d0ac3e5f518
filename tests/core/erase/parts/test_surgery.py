"""Gradient surgery: no step goes against what is kept, and nothing else changes."""

import pytest
import torch

from concept_atelier.core.erase.parts.surgery import corrected, joined_loss


def test_what_goes_against_the_kept_direction_is_taken_out_and_nothing_else():
    against, along, across = torch.tensor([3.0, -4.0]), torch.tensor([1.0, 2.0]), torch.tensor([5.0, 0.0])
    kept = torch.tensor([0.0, 2.0])
    found = corrected([against, along, across], [kept] * 3, 1.0)
    torch.testing.assert_close(found[0], torch.tensor([3.0, 0.0]))
    assert torch.equal(found[1], along) and torch.equal(found[2], across)
    torch.testing.assert_close(corrected([against], [kept], 0.5)[0], torch.tensor([3.0, -2.0]))
    assert torch.equal(corrected([against], [torch.zeros(2)], 1.0)[0], against)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_value_is_that_of_the_sum_and_the_gradient_the_corrected_one(share):
    x = torch.tensor([1.0, 1.0], requires_grad=True)
    erase, keep = x[0] - x[1], (x[1] ** 2) / 2
    loss = joined_loss(erase, keep, 3.0, [x], share)
    assert float(loss.detach()) == pytest.approx(0.0 + 3.0 * 0.5)
    (gradient,) = torch.autograd.grad(loss, [x])
    # Alone, erasing would raise x[1] and with it the keeping loss.
    torch.testing.assert_close(gradient, torch.tensor([1.0, 2.0]) if share == 0 else torch.tensor([1.0, 0.0]))


def test_nothing_to_keep_leaves_the_erasing_loss():
    x = torch.ones(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(joined_loss(x.sum(), torch.zeros(()), 1.0, [x], 1.0), [x])
    assert torch.equal(gradient, torch.ones(2))


def test_a_parameter_that_the_losses_do_not_read_has_no_gradient():
    """A last block may change the text's rows alone, which nothing reads any more."""
    x, unread = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    loss = joined_loss(x.sum(), x.square().sum(), 1.0, [x, unread], 1.0)
    of_x, of_unread = torch.autograd.grad(loss, [x, unread], allow_unused=True, materialize_grads=True)
    assert torch.equal(of_x, torch.ones(2)) and not of_unread.any()
