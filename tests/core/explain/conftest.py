import pytest
import torch

from concept_atelier.core.explain.activations import Activations, Origin

FACTORS, WIDTH = 6, 24


def origin(**changes):
    given = {"kind": "encoder", "model": "toy", "fingerprint": (1.0, 2.0), "site": "4", "width": WIDTH, "noise": None}
    return Origin(**(given | changes))


@pytest.fixture(scope="session")
def planted():
    """Activations made of six sparse non-negative directions, each used by some positions of some pictures."""
    generator = torch.Generator().manual_seed(3)
    directions = torch.rand(FACTORS, WIDTH, generator=generator) * (
        torch.rand(FACTORS, WIDTH, generator=generator) < 0.3
    )
    directions = torch.nn.functional.normalize(directions + 1e-3, dim=1)
    pictures = torch.rand(40, 1, FACTORS, generator=generator) < 0.5
    used = pictures & (torch.rand(40, 16, FACTORS, generator=generator) < 0.4)
    codes = used * (0.5 + torch.rand(40, 16, FACTORS, generator=generator))
    return Activations(codes @ directions, (4, 4), origin()), directions, codes
