import pytest

from concept_atelier.core.localize.parts.settings import PAPER, SMALL_GRID, LocalizeSettings


def test_the_papers_preset_is_the_papers():
    assert (PAPER.timestep, PAPER.noise_draws, PAPER.prompt) == (0, 0, "")
    assert (PAPER.renormalise, PAPER.weight_power, PAPER.cross_downscale) == (False, 1.0, 4)
    assert (PAPER.min_clusters, PAPER.saliency_threshold, PAPER.merge_threshold) == (10, 1.0, 1.0)
    assert PAPER.saliency == "end_of_text" and PAPER.adjacency and not PAPER.sign_test and not PAPER.single
    assert SMALL_GRID != PAPER


@pytest.mark.parametrize(
    "wrong",
    [
        {"timestep": -1},
        {"noise_draws": -1},
        {"max_cells": 0},
        {"min_clusters": 0},
        {"count": 0},
        {"max_concepts": 0},
        {"min_area": 1.0},
        {"saliency": "eot"},
        {"grid_weights": (0.0, 0.0)},
        {"grid_weights": (1.0, -1.0)},
        {"merge_threshold": float("nan")},
    ],
)
def test_senseless_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LocalizeSettings(**wrong)
