"""Capture Attention: the picture stays, and only what was asked for is kept."""

import pytest
import torch

from concept_atelier.nodes import CaptureAttention


def test_the_picture_is_bit_identical_with_and_without(call, sockets, draw, hooks_of):
    listening, capture = call(CaptureAttention, model=sockets["model"], least_grid=1, stages="all").args
    assert torch.equal(draw(listening, batch=2)["samples"], draw(batch=2)["samples"])
    assert capture.maps().cross and hooks_of() == 0
    assert sockets["model"].captures == ()


def test_grids_and_stages_are_chosen(call, sockets, draw):
    def grids(**given):
        listening, capture = call(CaptureAttention, model=sockets["model"], **given).args
        draw(listening)
        return set(capture.maps().cross)

    everything = grids(least_grid=1, stages="all")
    assert (8, 12) in everything and len(everything) > 1
    assert grids(least_grid=8) == {(8, 12)}
    assert grids(least_grid=1, greatest_grid=6, stages="all") == {g for g in everything if max(g) <= 6}


def test_the_one_grid_of_a_transformer_is_recorded_whatever_the_greatest(call, transformer, draw):
    listening, capture = call(CaptureAttention, model=transformer["model"], least_grid=1, greatest_grid=8).args
    draw(listening)
    assert set(capture.maps().cross) == {(8, 12)}


def test_layers_and_steps_are_counted_within_the_span(call, sockets, draw):
    def count(**given):
        listening, capture = call(CaptureAttention, model=sockets["model"], least_grid=8, **given).args
        draw(listening)
        return capture.maps().cross_counts[(8, 12)]

    assert count(start_percent=0.0, end_percent=0.3) == count() / 2
    early = call(CaptureAttention, model=sockets["model"], start_percent=0.0, end_percent=0.25)[1]
    assert early.selection.timesteps == (750, 1000)  # layout comes first, where noise is strongest
    assert count(stages="up") < count(stages="down and up")


def test_a_capture_that_never_ran_says_so(call, sockets):
    _, capture = call(CaptureAttention, model=sockets["model"]).args
    with pytest.raises(ValueError, match="no attention was recorded"):
        capture.maps()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start_percent": 0.5, "end_percent": 0.5}, "must be below end_percent"),
        ({"least_grid": 32, "greatest_grid": 16}, "max_side 16 is below min_side 32"),
        ({"model": "a path"}, 'input "model": expected MODEL'),
    ],
)
def test_settings_that_catch_nothing_are_refused(call, sockets, given, message):
    with pytest.raises(ValueError, match=message):
        call(CaptureAttention, **({"model": sockets["model"]} | given))
