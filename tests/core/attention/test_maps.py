import pytest
import torch

from concept_atelier.core.attention.maps import AttentionMaps


def maps_of(cross, counts=None, positions=None, context=None):
    counts = counts or dict.fromkeys(cross, 1)
    return AttentionMaps(cross, {}, counts, {}, dict.fromkeys(cross, 1), {}, positions, context)


FINE, COARSE = torch.full((1, 2, 4, 6), 0.8), torch.full((1, 2, 2, 3), 0.2)


def test_grids_are_weighed_by_their_number_of_maps():
    maps = maps_of({(4, 6): FINE, (2, 3): COARSE}, {(4, 6): 1, (2, 3): 3})
    torch.testing.assert_close(maps.combined_cross(), torch.full((1, 2, 4, 6), 0.35))


def test_explicit_weights_and_size_win():
    maps = maps_of({(4, 6): FINE, (2, 3): COARSE})
    combined = maps.combined_cross((8, 5), {(2, 3): 2.0}, "bilinear")
    torch.testing.assert_close(combined, torch.full((1, 2, 8, 5), 0.2))


def test_combining_nothing_is_refused():
    with pytest.raises(ValueError, match="no cross-attention"):
        maps_of({}).combined_cross()
    with pytest.raises(ValueError, match="weight"):
        maps_of({(4, 6): FINE}).combined_cross(weights={(2, 3): 1.0})


def test_columns_follow_the_kept_positions():
    maps = maps_of({(4, 6): torch.arange(2.0).view(1, 2, 1, 1).expand(1, 2, 4, 6)}, positions=(7, 3))
    assert maps.columns([3, 7]) == [1, 0]
    assert maps.token(3)[(4, 6)].eq(1).all()
    with pytest.raises(ValueError, match=r"\[4\] were not recorded; kept were \[7, 3\]"):
        maps.columns([4])


def test_the_sampled_text_is_distinguished_from_another(generator):
    context = torch.randn(1, 5, 8, generator=generator)
    maps = maps_of({(4, 6): FINE}, context=context.expand(2, 5, 8))
    maps.check_text(context)
    for other in (context + 0.1, context.repeat(1, 2, 1)):
        with pytest.raises(ValueError, match="not the text that was sampled"):
            maps.check_text(other)


def test_an_unknown_text_is_reported_as_unknown():
    with pytest.raises(ValueError, match="not known"):
        maps_of({(4, 6): FINE}).check_text(torch.zeros(1, 2, 3))


def test_some_positions_are_those_of_all(generator):
    maps = maps_of({grid: torch.rand(1, 5, *grid, generator=generator) for grid in ((4, 4), (2, 2))})
    every = maps.combined_cross((8, 8))
    torch.testing.assert_close(maps.combined_cross((8, 8), positions=[3, 1]), every[:, [3, 1]])
    with pytest.raises(ValueError, match="were not recorded"):
        maps.combined_cross(positions=[7])
