"""The discriminator: its optimum is known, it cannot separate what is alike, and its state is gone on from."""

import math

import pytest
import torch

from concept_atelier.core.erase.parts.discriminator import Discriminator, discrimination, membership


def test_the_loss_is_least_where_the_logit_is_the_log_ratio_of_the_densities():
    """Members have p = (0.8, 0.2) over two values, the others q = (0.5, 0.5): D = q / (p + q)."""
    p, q = torch.tensor([0.8, 0.2]), torch.tensor([0.5, 0.5])
    logits = torch.zeros(2, requires_grad=True)

    def loss():
        members, others = (torch.cat([logits[i].expand(int(10 * share[i])) for i in (0, 1)]) for share in (p, q))
        return discrimination(members, others)

    optimiser = torch.optim.LBFGS([logits], max_iter=50)

    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    torch.testing.assert_close(torch.sigmoid(logits.detach()), q / (p + q), atol=1e-3, rtol=0)
    # Goodfellow et al. 2014, theorem 1: the least loss is 2 log 2 less twice the Jensen-Shannon divergence.
    middle = (p + q) / 2
    divergence = sum(0.5 * (one * (one / middle).log()).sum() for one in (p, q))
    assert float(loss().detach()) == pytest.approx(float(2 * math.log(2) - 2 * divergence), abs=1e-4)


def test_what_wants_to_be_taken_for_a_member_lowers_its_logit():
    logits = torch.tensor([2.0, -3.0], requires_grad=True)
    loss = membership(logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient > 0).all() and float(loss.detach()) == pytest.approx(
        (math.log1p(math.exp(2)) + 0.0486) / 2, abs=1e-3
    )


@pytest.mark.parametrize("side", [4, 8, 16, 64])
def test_it_reads_latents_of_any_side(side, generator):
    logits = Discriminator(4, side, 1e-3, generator).logits(torch.zeros(2, 4, side, side + 8))
    assert logits.ndim == 4 and logits.shape[:2] == (2, 1) and min(logits.shape[2:]) >= 1


def test_latents_too_small_are_refused(generator):
    with pytest.raises(ValueError, match="4 cells a side or more, these have 3"):
        Discriminator(4, 3, 1e-3, generator)


def test_it_learns_to_separate_two_domains_and_cannot_separate_one_from_itself(generator):
    apart, alike = (Discriminator(4, 8, 1e-3, torch.Generator().manual_seed(0)) for _ in range(2))
    pattern = torch.randn(1, 4, 8, 8, generator=generator)
    for _ in range(30):
        members, others = torch.randn(2, 8, 4, 8, 8, generator=generator)
        last = apart.train(members, others + 2 * pattern)
        alike.train(members, members)
    assert last < 0.3
    assert alike.train(members, members) == pytest.approx(2 * math.log(2), abs=0.05)


def test_it_goes_on_from_its_state(generator):
    first, again = (Discriminator(4, 8, 1e-3, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    batches = torch.randn(4, 2, 4, 4, 8, 8, generator=generator)
    for members, others in batches[:2]:
        first.train(members, others)
    again.restore({name: tensor.clone() for name, tensor in first.state().items()})
    for members, others in batches[2:]:
        assert first.train(members, others) == again.train(members, others)
