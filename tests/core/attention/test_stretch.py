import torch

from concept_atelier.core.attention.stretch import minmax, stretched


def test_stretched_reaches_0_and_1_and_a_constant_map_is_zero(generator):
    maps = stretched(torch.stack([5 + torch.rand(4, 6, generator=generator), torch.full((4, 6), 0.3)]))
    assert (float(maps[0].min()), float(maps[0].max())) == (0.0, 1.0) and not maps[1].any()


def test_minmax_takes_all_values_together_and_a_constant_is_one(generator):
    values = minmax(torch.stack([torch.rand(4, 6, generator=generator), 5 + torch.rand(4, 6, generator=generator)]))
    assert values.min() == 0 and values.max() == 1 and values[0].max() < values[1].min()
    assert minmax(torch.full((4, 6), 0.3)).eq(1).all()
