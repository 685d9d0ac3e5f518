from dataclasses import replace

import torch

from concept_atelier.core.explain.methods.batch_topk_sae import METHOD
from concept_atelier.core.explain.parts.task import FindTask


def test_busy_rows_get_more_codes_than_empty_ones():
    """Every second row is made of five directions, the others of one; three are asked for on average."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(24, 8, generator=generator)).Q.T
    many = torch.tensor([5, 1]).repeat(300)[:, None]
    there = torch.rand(600, 8, generator=generator).argsort(1).argsort(1) < many
    rows = there * (1 + 0.2 * torch.rand(600, 8, generator=generator)) @ directions
    settings = replace(METHOD.preset("small"), active=3, steps=150, batch=256)
    found = METHOD.find(FindTask(rows, 8, settings, generator))
    units = torch.nn.functional.normalize(found.directions, dim=1)
    used = (METHOD.code(rows, units, found.extra) > 0).float().sum(1)
    assert float(used[::2].mean()) > 4 and float(used[1::2].mean()) < 2
