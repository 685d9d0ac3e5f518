import pytest
import torch

from concept_atelier.core.learn.parts.contrastive import closeness, contrastive


def direct(rows, labels, temperature):
    """The formula as it is written, term by term."""
    unit = rows / rows.norm(dim=1, keepdim=True)
    total = 0.0
    for a in range(len(rows)):
        others = [b for b in range(len(rows)) if b != a]
        below = sum(torch.exp(unit[a] @ unit[b] / temperature) for b in others)
        positives = [b for b in others if labels[b] == labels[a]]
        total -= sum(torch.log(torch.exp(unit[a] @ unit[p] / temperature) / below) for p in positives) / len(positives)
    return total / len(rows)


@pytest.mark.parametrize(("parts", "concepts"), [(5, 1), (2, 3), (5, 3)])
def test_is_the_formula(parts, concepts, generator):
    rows = torch.randn(parts * concepts, 6, generator=generator, dtype=torch.float64)
    labels = torch.arange(parts * concepts) % concepts
    torch.testing.assert_close(contrastive(rows, labels, 0.07), direct(rows, labels, 0.07))


def test_tokens_without_a_partner_count_nothing(generator):
    rows = torch.randn(4, 6, generator=generator).requires_grad_()
    loss = contrastive(rows, torch.arange(4))
    (slope,) = torch.autograd.grad(loss, [rows])
    assert loss == 0 and not slope.any()


def test_does_not_ask_for_lengths_and_is_least_when_concepts_are_points_apart(generator):
    labels = torch.tensor([0, 1, 0, 1])
    points = torch.eye(2)[labels]
    lengths = torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]
    torch.testing.assert_close(contrastive(points * lengths, labels), contrastive(points, labels))
    assert contrastive(points, labels) < 1e-5
    assert contrastive(points + 0.5 * torch.randn(4, 2, generator=generator), labels) > 1e-5


def test_closeness_is_the_mean_of_what_cosines_have_beyond_the_margin():
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])  # cosines 0, 0.7071 twice
    torch.testing.assert_close(closeness(rows, 0.5), torch.tensor(2 * (0.5**0.5 - 0.5) / 3))
    assert closeness(rows, 0.8) == 0 and closeness(rows[:1], -1.0) == 0


def test_closeness_drives_tokens_apart(generator):
    rows = (torch.ones(3, 6) + 0.1 * torch.randn(3, 6, generator=generator)).requires_grad_()
    before = closeness(rows, 0.0)
    (slope,) = torch.autograd.grad(before, [rows])
    assert closeness(rows - 0.1 * slope, 0.0) < before
