"""Optimisers of the trainers, beside torch's."""

import torch
from torch import nn

from concept_atelier.training.optimisers import Muon, orthogonalise

SHAPES = ((6, 6), (6, 6), (4, 9), (9, 4), (4, 9))


def copies() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def test_steps_are_those_of_torch_up_to_its_rounding():
    ours, theirs = copies(), copies()
    options = {"lr": 0.02, "weight_decay": 0.01}
    optimisers = Muon(ours, **options), torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        for optimiser in optimisers:
            optimiser.step()
    for one, other, start in zip(ours, theirs, copies(), strict=True):
        moved = (other - start).abs().mean().item()
        assert (one - other).abs().mean().item() < 0.02 * moved  # torch computes in bfloat16
    assert optimisers[0].state_dict()["state"].keys() == optimisers[1].state_dict()["state"].keys()


def test_a_matrix_without_a_gradient_stays():
    first, second = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    optimiser = Muon([first, second], lr=0.1)
    first.grad = torch.eye(3)
    optimiser.step()
    assert torch.equal(second, torch.ones(3, 3)) and not torch.equal(first, torch.ones(3, 3))


def test_singular_values_come_near_one():
    matrices = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0))
    for given in (matrices, matrices.transpose(1, 2)):
        values = torch.linalg.svdvals(orthogonalise(given, (3.4445, -4.7750, 2.0315), 5, 1e-7))
        assert float(values.min()) > 0.5
        assert float(values.max()) < 1.3
