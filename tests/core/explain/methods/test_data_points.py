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
