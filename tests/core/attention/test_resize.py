import pytest
import torch

from concept_atelier.core.attention.resize import area_mean, resize_maps

MODES = ("bilinear", "bicubic")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(8, 12), (2, 3), (3, 9), (4, 6)])
def test_constant_maps_stay_constant_on_any_grid(mode, size):
    resized = resize_maps(torch.full((2, 3, 4, 6), 0.25), size, mode)
    torch.testing.assert_close(resized, torch.full((2, 3, *size), 0.25))


@pytest.mark.parametrize("mode", MODES)
def test_maps_never_fall_below_zero(mode, generator):
    spikes = (torch.rand(1, 2, 5, 7, generator=generator) > 0.7).float()
    assert resize_maps(spikes, (20, 28), mode).min() == 0


def test_bilinear_keeps_the_sum_over_tokens(generator):
    maps = torch.rand(2, 9, 3, 5, generator=generator).softmax(1)
    torch.testing.assert_close(resize_maps(maps, (7, 11), "bilinear").sum(1), torch.ones(2, 7, 11))


def test_shrinking_averages_what_falls_into_a_cell():
    maps = torch.zeros(1, 1, 8, 8)
    maps[..., 0::2, :] = 1  # point sampling would see stripes or nothing
    torch.testing.assert_close(resize_maps(maps, (2, 2), "bilinear"), torch.full((1, 1, 2, 2), 0.5), atol=0.08, rtol=0)


def test_a_map_stays_where_it_is():
    maps = torch.zeros(1, 1, 4, 8)
    maps[..., 1, 6] = 1
    row, column = divmod(int(resize_maps(maps, (16, 32)).argmax()), 32)
    assert 4 <= row < 8 and 24 <= column < 28


def test_an_area_is_the_mean_of_what_a_cell_covers(generator):
    maps = torch.rand(2, 3, 6, 9, generator=generator)
    found = area_mean(maps, (2, 3))
    torch.testing.assert_close(found[1, 2, 1, 2], maps[1, 2, 3:, 6:].mean())
    assert area_mean(maps, (4, 5)).shape == (2, 3, 4, 5)
