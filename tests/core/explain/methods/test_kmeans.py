import torch

from concept_atelier.core.explain.methods.kmeans import METHOD
from concept_atelier.core.explain.parts.task import FindTask


def test_directions_are_the_means_of_planted_groups_and_codes_say_which_group():
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(400)[torch.randperm(400, generator=generator)] % 4
    means = 5 * torch.randn(4, 12, generator=generator)
    rows = means[group] + 0.1 * torch.randn(400, 12, generator=generator)
    found = METHOD.find(FindTask(rows, 4, METHOD.preset("small"), generator))
    gaps = torch.cdist(found.directions, means)  # (4, 4)
    assert float(gaps.amin(0).max()) < 0.1
    directions = torch.nn.functional.normalize(found.directions, dim=1)
    assert torch.equal(METHOD.code(rows, directions, found.extra).argmax(1), gaps.argmin(0)[group])
