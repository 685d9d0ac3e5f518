import pytest
import torch

from concept_atelier.bench.cost.meters import memory_of
from concept_atelier.core.learn.parts import transport
from concept_atelier.core.learn.parts.transport import (
    grid_distances,
    potentials,
    sinkhorn_divergence,
    transport_cost,
)


def spot(grid, y, x):
    row = torch.zeros(1, *grid, dtype=torch.float64)
    row[0, y, x] = 1
    return row.flatten(1)


def random_rows(generator, count, cells):
    rows = torch.rand(count, cells, generator=generator, dtype=torch.float64) ** 4
    return rows / rows.sum(1, keepdim=True)


def test_distances_are_euclidean_in_reading_order():
    distances = grid_distances((2, 3))
    assert distances[0, 5] == pytest.approx(5**0.5)
    assert distances[0, 1] == 1 and distances[0, 3] == 1


@pytest.mark.parametrize("grid", [(12, 12), (7, 13)])
@pytest.mark.parametrize("cost", [transport_cost, sinkhorn_divergence])
def test_cost_of_a_shift_is_its_length_in_cells(grid, cost):
    at = [cost(spot(grid, 2, 1), spot(grid, 2, 1 + shift), grid).item() for shift in range(6)]
    torch.testing.assert_close(torch.tensor(at), torch.arange(6.0), atol=1e-6, rtol=0)


def test_moving_a_blob_costs_linearly_more_with_the_shift():
    grid = (6, 16)
    blob = torch.zeros(1, *grid, dtype=torch.float64)
    blob[0, 2:5, 1:4] = 1 / 9
    at = [
        sinkhorn_divergence(blob.flatten(1), blob.roll(shift, 2).flatten(1), grid).item() for shift in range(3, 10, 2)
    ]
    steps = torch.tensor(at).diff()
    torch.testing.assert_close(steps, torch.full((3,), 2.0), atol=0.05, rtol=0)


def test_equal_distributions_are_nearly_free_and_unbiased_exactly_free(generator):
    rows = random_rows(generator, 4, 10 * 14)
    assert transport_cost(rows, rows, (10, 14)).max() < 0.5
    assert sinkhorn_divergence(rows, rows, (10, 14)).abs().max() < 1e-9


def test_divergence_is_positive_between_different_distributions(generator):
    a, b = random_rows(generator, 8, 80), random_rows(generator, 8, 80)
    assert sinkhorn_divergence(a, b, (8, 10)).min() > 0


def test_potentials_equal_those_of_a_direct_log_sum_exp(generator):
    a, b = random_rows(generator, 2, 30) + 1e-9, random_rows(generator, 2, 30) + 1e-9
    cost = grid_distances((5, 6)) / 8
    f, g = potentials(a, b, cost, 0.01, 20)
    direct_f, direct_g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(20):
        direct_f = -0.01 * torch.logsumexp((direct_g / 0.01 + b.log())[:, None, :] - cost / 0.01, -1)
        direct_g = -0.01 * torch.logsumexp((direct_f / 0.01 + a.log())[:, None, :] - cost.T / 0.01, -1)
    torch.testing.assert_close(f, direct_f)
    torch.testing.assert_close(g, direct_g)


def test_the_plan_has_the_asked_for_margins(generator):
    a, b = random_rows(generator, 3, 96) + 1e-9, random_rows(generator, 3, 96) + 1e-9
    a, b = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    cost = grid_distances((8, 12)) / grid_distances((8, 12)).max()
    f, g = potentials(a, b, cost, 0.02, 100)
    plan = torch.exp((f[:, :, None] + g[:, None] - cost) / 0.02) * a[:, :, None] * b[:, None]
    torch.testing.assert_close(plan.sum(1), b, atol=1e-9, rtol=0)
    assert (plan.sum(2) - a).abs().sum(1).max() < 0.01


def test_gradient_of_the_divergence_is_that_of_finite_differences(generator):
    grid = (4, 5)
    start, target = random_rows(generator, 1, 20) + 0.01, random_rows(generator, 1, 20)
    start, target = start / start.sum(), target / target.sum()
    direction = torch.randn(1, 20, generator=generator, dtype=torch.float64)
    direction = direction - direction.mean()

    def value(size):
        return sinkhorn_divergence(start + size * direction, target, grid, 0.05, 500).item()

    moving = start.clone().requires_grad_()
    (slope,) = torch.autograd.grad(sinkhorn_divergence(moving, target, grid, 0.05, 500).sum(), moving)
    expected = (value(1e-5) - value(-1e-5)) / 2e-5
    assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("cost", [transport_cost, sinkhorn_divergence])
def test_following_the_gradient_brings_mass_to_the_target(cost):
    grid, target = (6, 9), spot((6, 9), 4, 7)
    logits = torch.zeros(1, 54, dtype=torch.float64, requires_grad=True)
    for _ in range(60):
        (slope,) = torch.autograd.grad(cost(logits.softmax(1), target, grid, 0.02, 30).sum(), logits)
        logits = (logits - 5 * slope).detach().requires_grad_()
    assert logits.argmax() == 4 * 9 + 7
    assert cost(logits.softmax(1), target, grid).item() < 1.5


def test_the_target_gets_no_gradient(generator):
    rows = random_rows(generator, 2, 20)
    moving, target = rows[:1].clone().requires_grad_(), rows[1:].clone().requires_grad_()
    sinkhorn_divergence(moving, target, (4, 5)).sum().backward()
    assert target.grad is None and moving.grad is not None


def test_refuses_what_it_cannot_solve(generator):
    rows = random_rows(generator, 2, 20)
    with pytest.raises(ValueError, match="regularisation must be above 0"):
        transport_cost(rows, rows, (4, 5), regularisation=0.0)
    with pytest.raises(ValueError, match=r"expected two \(K, 30\)"):
        transport_cost(rows, rows, (5, 6))


def test_the_release_regularisation_gives_the_earth_movers_distance():
    at = torch.eye(24)
    sharp = transport_cost(at[[0, 0]], at[[1, 9]], (4, 6), 1e-3 / 21.2, 2000)
    torch.testing.assert_close(sharp, torch.tensor([1.0, 10**0.5]).double(), atol=1e-3, rtol=0)


def sharp_problems(generator, count=3, grid=(16, 16)):
    """Attention against masks, some with empty cells, with the release's regularisation."""
    cost = grid_distances(grid) / grid_distances(grid).max()
    targets = torch.zeros(count, *grid, dtype=torch.float64)
    for number, target in enumerate(targets):
        target[number : 6 + 2 * number, 3:9] = 1
    a = random_rows(generator, count, grid[0] * grid[1])
    a, b = a.clamp_min(1e-12), (targets.flatten(1) / targets.sum((1, 2))[:, None]).clamp_min(1e-12)
    return a, b, cost, 1e-3 / 21.2


@pytest.mark.parametrize("count", [1, 3])
def test_a_sharp_plan_is_that_of_the_log_domain(generator, count):
    a, b, cost, regularisation = sharp_problems(generator, count)
    f, g = potentials(a, b, cost, regularisation, 60)
    direct = torch.zeros_like(b)
    for _ in range(60):
        direct_f, direct = transport._log_iteration(direct, a, b, cost / regularisation)
    plan, expected = (
        torch.exp(x[:, :, None] + y[:, None] - cost / regularisation) * a[:, :, None] * b[:, None]
        for x, y in ((f / regularisation, g / regularisation), (direct_f, direct))
    )
    assert (plan - expected).abs().max() < 1e-10


def test_a_sharp_plan_survives_potentials_that_jump(generator, monkeypatch):
    """Where an iteration moves too far to be trusted, it is done again in the log domain."""
    a, b, cost, regularisation = sharp_problems(generator)
    expected = potentials(a, b, cost, regularisation, 40)
    monkeypatch.setattr(transport, "_TRUSTED", 1.0)
    monkeypatch.setattr(transport, "_MOVED", 1.0 + 1e-9)
    torch.testing.assert_close(potentials(a, b, cost, regularisation, 40), expected)


def test_transport_needs_memory_for_few_plans_however_many_problems(generator):
    rows = random_rows(generator, 12, 256).requires_grad_()
    for regularisation in (1e-3 / 21.2, 0.02):
        found = memory_of(lambda sharp=regularisation: transport_cost(rows, rows.flip(0), (16, 16), sharp, 3))
        assert found.peak < 6 * 8 * 256 * 256


def test_both_ways_of_solving_agree(monkeypatch):
    rows = torch.rand(2, 3, 24, generator=torch.Generator().manual_seed(0))
    a, b = rows / rows.sum(-1, keepdim=True)
    quick = transport_cost(a, b, (4, 6), 0.02, 20)
    monkeypatch.setattr(transport, "_SMALLEST_IN_KERNEL", 1.0)
    torch.testing.assert_close(transport_cost(a, b, (4, 6), 0.02, 20), quick)
