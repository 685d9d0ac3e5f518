import pytest
import torch

from concept_atelier.core.explain.activations import Activations
from tests.core.explain.conftest import origin

CELLS, WIDTH, SIDE = 8, 24, 64


def scenes(count, places, seed=0, subject=None):
    """Activations (P, 64, 24) of noise with a subject's direction added over a block of 3 x 3 cells, and the masks.

    ``places`` are the block's corners in cells, or None for a picture without the subject.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = torch.nn.functional.normalize(
        torch.randn(WIDTH, generator=torch.Generator().manual_seed(99)) if subject is None else subject, dim=0
    )
    rows = torch.randn(count, CELLS, CELLS, WIDTH, generator=generator)
    rows = rows - (rows @ direction)[..., None] * direction  # the rest does not lie along the subject at all
    masks = torch.zeros(count, SIDE, SIDE)
    for number, place in enumerate(places):
        if place is not None:
            top, left = place
            rows[number, top : top + 3, left : left + 3] += 8 * direction
            masks[number, 8 * top : 8 * top + 24, 8 * left : 8 * left + 24] = 1
    return Activations(rows.flatten(1, 2), (CELLS, CELLS), origin(site="8")), masks


@pytest.fixture(scope="session")
def examples():
    """Four pictures, of which the last does not show the subject."""
    return scenes(4, [(0, 0), (2, 3), (5, 5), None])


@pytest.fixture(scope="session")
def unseen():
    """Three more, of which the second does not show it."""
    return scenes(3, [(1, 4), None, (4, 0)], seed=1)


@pytest.fixture(scope="session")
def plain_pictures():
    return torch.full((3, 3, SIDE, SIDE), 0.5)
