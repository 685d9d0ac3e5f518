import pytest
import torch

from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.backbone import AttentionCall, AttentionSite


def call(kind="self", stage="up", grid=(4, 6), timestep=10.0):
    nothing = torch.zeros(1, 1, grid[0] * grid[1], 1)
    return AttentionCall(AttentionSite("a", kind, stage, 1, 1), nothing, nothing, 1.0, grid, (True,), timestep)


def test_everything_is_kept_by_default():
    assert Selection().admits(call())
    assert Selection().admits(call(timestep=None))


@pytest.mark.parametrize(
    ("selection", "kept", "left"),
    [
        (Selection(kinds=("cross",)), call(kind="cross"), call(kind="self")),
        (Selection(stages=("down", "up")), call(stage="up"), call(stage="mid")),
        (Selection(grids=((4, 6),)), call(grid=(4, 6)), call(grid=(6, 4))),
        (Selection(min_side=4), call(grid=(4, 6)), call(grid=(3, 6))),
        (Selection(max_side=6), call(grid=(4, 6)), call(grid=(4, 7))),
        (Selection(timesteps=(5, 10)), call(timestep=10.0), call(timestep=11.0)),
    ],
)
def test_each_condition_leaves_something_out(selection, kept, left):
    assert selection.admits(kept)
    assert not selection.admits(left)


def test_the_longest_side_chooses_among_stages_and_layers_without_one_are_kept():
    chosen = Selection(max_side=6)
    staged, alone = (AttentionSite("a", "joint", stage, 1, 2) for stage in ("up", None))
    assert not chosen.expects(staged, (4, 14)) and chosen.expects(alone, (4, 14))
    assert chosen.admits(call(stage=None, grid=(2, 7))) and not chosen.admits(call(stage="up", grid=(2, 7)))
    assert not Selection(min_side=3).admits(call(stage=None, grid=(2, 7)))


def test_a_timestep_range_needs_a_timestep():
    with pytest.raises(ValueError, match="different timesteps"):
        Selection(timesteps=(0, 5)).admits(call(timestep=None))


@pytest.mark.parametrize(
    "wrong", [{"timesteps": (5, 1)}, {"min_side": 9, "max_side": 8}, {"positions": ()}, {"positions": (-1,)}]
)
def test_selections_that_can_keep_nothing_are_refused(wrong):
    with pytest.raises(ValueError):
        Selection(**wrong)


def test_a_stretch_of_denoising_runs_from_noise_to_clean():
    from concept_atelier.core.attention.selection import timestep_span

    assert timestep_span(0.0, 1.0, 1000) == (0.0, 1000.0)
    assert timestep_span(0.0, 0.25, 400) == (300.0, 400.0)
