import pytest
import torch

from concept_atelier.core.localize.parts.neighbours import cell_colours
from concept_atelier.core.localize.parts.observation import Observation
from concept_atelier.core.localize.parts.saliency import border_saliency
from concept_atelier.core.masks.from_masks import masks_to_grid


@pytest.fixture(scope="session")
def untrained():
    """The lab model at random weights."""
    from concept_atelier.bench.command import load_backbone

    return load_backbone(untrained=True)


@pytest.fixture(scope="session")
def knowing():
    """What a model that knows every object would show of a case: attention stays inside objects."""

    def observe(case, grid=(16, 16)):
        masks = masks_to_grid(case.masks, grid)
        groups = (masks * torch.arange(1, len(masks) + 1)[:, None, None]).sum(0).flatten()
        y, x = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
        place = torch.stack([y.flatten(), x.flatten()], 1).float()
        near = (-torch.cdist(place, place).square() / 4.5).exp()
        noise = torch.rand(len(groups), len(groups), generator=torch.Generator().manual_seed(case.seed))
        rows = (groups[:, None] == groups[None]) * (0.3 + near + 0.1 * noise) + 0.02 * noise
        rows = rows / rows.sum(1, keepdim=True)
        colours = cell_colours(case.picture, grid)
        return Observation(rows, border_saliency(rows, grid), colours, grid, tuple(case.masks.shape[1:]))

    return observe
