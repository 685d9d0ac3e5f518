from dataclasses import replace

import torch

from concept_atelier.core.explain.methods.ra_sae import METHOD
from concept_atelier.core.explain.parts.least_squares import nonnegative_codes
from concept_atelier.core.explain.parts.task import FindTask


def away(directions, rows):
    """How far each direction is from the nearest mixture of rows, as a share of its length."""
    points = torch.nn.functional.normalize(rows, dim=1)
    return (directions - nonnegative_codes(directions, points) @ points).norm(dim=1)


def test_without_reach_every_direction_is_a_mixture_of_rows():
    generator = torch.Generator().manual_seed(0)
    corners = torch.nn.functional.normalize(torch.randn(5, 12, generator=generator), dim=1)
    rows = torch.rand(120, 5, generator=generator) @ corners
    far = {}
    for reach in (0.0, 1.0):
        settings = replace(METHOD.preset("small"), reach=reach, points=16, steps=50)
        found = METHOD.find(FindTask(rows, 6, settings, torch.Generator().manual_seed(0))).directions
        far[reach] = float(away(found, rows).max())
    assert far[0.0] < 1e-3 and far[1.0] > 0.05
