"""The figure by which probes are compared."""

import pytest
import torch

from concept_atelier.core.explain.probe import auroc


def test_auroc_counts_every_pair_and_a_tie_half():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 6, (40,), generator=generator).float()
    present = torch.rand(40, generator=generator) < 0.4
    pairs = [(float(one), float(other)) for one in scores[present] for other in scores[~present]]
    wanted = sum((one > other) + 0.5 * (one == other) for one, other in pairs) / len(pairs)
    assert float(auroc(scores, present)) == pytest.approx(wanted, abs=1e-12)
    assert float(auroc(torch.cat([torch.zeros(50_000), torch.ones(50_000)]), torch.arange(100_000) >= 50_000)) == 1.0
