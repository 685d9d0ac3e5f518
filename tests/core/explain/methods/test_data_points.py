import torch

from concept_atelier.core.explain.methods.data_points import METHOD
from concept_atelier.core.explain.parts.measures import explained
from concept_atelier.core.explain.parts.task import FindTask


def test_where_each_row_shows_one_thing_a_row_of_each_is_chosen():
    generator = torch.Generator().manual_seed(0)
    things = torch.nn.functional.normalize(torch.randn(6, 24, generator=generator), dim=1)
    rows = (1 + torch.rand(300, 1, generator=generator)) * things[torch.randint(6, (300,), generator=generator)]
    points = torch.nn.functional.normalize(METHOD.find(FindTask(rows, 6, METHOD.preset("small"), generator)).directions)
    assert set((points @ things.T).argmax(1).tolist()) == set(range(6))
    assert explained(rows, METHOD.code(rows, points, {}) @ points) > 0.999


def test_where_rows_are_mixtures_those_nearest_to_one_thing_are_chosen():
    """Each row shows about three of sixteen things; rows that were chosen at random are as far from each as mixtures
    are."""
    generator = torch.Generator().manual_seed(0)
    things = torch.nn.functional.normalize(torch.randn(16, 64, generator=generator), dim=1)
    codes = (torch.rand(2000, 16, generator=generator) < 0.2) * (0.5 + torch.rand(2000, 16, generator=generator))
    rows = (codes @ things + 0.0125 * torch.randn(2000, 64, generator=generator))[codes.sum(1) > 0]
    near = {}
    for name, chosen in (
        ("greedy", METHOD.find(FindTask(rows, 16, METHOD.preset("small"), generator)).directions),
        ("random", rows[torch.randperm(len(rows), generator=generator)[:16]]),
    ):
        near[name] = (things @ torch.nn.functional.normalize(chosen, dim=1).T).amax(1)
    assert float(near["random"].mean()) < 0.75 < 0.85 < float(near["greedy"].mean())
