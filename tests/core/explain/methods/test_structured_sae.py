import torch

from concept_atelier.core.explain.methods.structured_sae import StructuredSettings, _Dependence
from concept_atelier.core.explain.parts.sparse import _Directions, keep_all, train
from concept_atelier.core.explain.parts.task import FindTask


def test_dependence_is_found_between_the_planted_pairs_and_nowhere_else():
    """Three pairs of directions, at which the fit begins; the second of a pair mostly comes with the first."""
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(2000, 3, generator=generator) < 0.3
    second = torch.rand(2000, 3, generator=generator) < torch.where(first, 0.7, 0.1)
    there = torch.stack([first, second], 2).flatten(1)  # (n, 6)
    directions = torch.linalg.qr(torch.randn(24, 6, generator=generator)).Q.T
    rows = there * (1 + 0.5 * torch.rand(2000, 6, generator=generator)) @ directions
    task = FindTask(rows, 6, StructuredSettings(steps=300), generator)
    found = train(task, lambda given: _Directions(directions), keep_all, _Dependence(6, task.settings))
    dependence = found.between["dependence"]
    pairs = torch.block_diag(*[1 - torch.eye(2)] * 3).bool()
    assert float(dependence[pairs].min()) > 0.4 > 0.2 > float(dependence[~pairs].max())
