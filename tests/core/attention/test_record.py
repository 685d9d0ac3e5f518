"""The recorder against a direct computation, on the lab model at random weights."""

import pytest
import torch

from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.resize import resize_maps
from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.backbone import AttentionCall, AttentionSite, Conditioning


@pytest.fixture(scope="module")
def inputs(lab_backbone):
    latent = torch.randn(2, 4, 8, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return latent, torch.tensor([40, 40]), lab_backbone.encode_text(["a cat", "a dog on blue"])


def run(backbone, inputs):
    with torch.no_grad():
        return backbone.predict_noise(*inputs)


def record(backbone, inputs, selection=None, passes=1):
    recorder = AttentionRecorder(selection)
    with recorder.recording(backbone):
        for _ in range(passes):
            run(backbone, inputs)
    return recorder.maps()


def dense_maps(backbone, inputs, kind):
    """Every call kept whole: grid to the list of (B, h*w, M)."""
    calls = []
    with backbone.tap_attention(calls.append):
        run(backbone, inputs)
    maps = {}
    for call in calls:
        if call.site.kind == kind:
            logits = torch.einsum("bhnd,bhmd->bhnm", call.query, call.key) * call.scale
            maps.setdefault(call.grid, []).append(logits.softmax(-1).mean(1))
    return {grid: torch.stack(parts).mean(0) for grid, parts in maps.items()}


def hook_count(module):
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_streaming_equals_the_dense_computation(lab_backbone, inputs):
    maps = record(lab_backbone, inputs, passes=2)
    own, cross = dense_maps(lab_backbone, inputs, "self"), dense_maps(lab_backbone, inputs, "cross")
    assert list(maps.self_attention) == list(maps.cross) == [(8, 12), (4, 6), (2, 3)]
    for grid in own:
        torch.testing.assert_close(maps.self_attention[grid], own[grid])
        torch.testing.assert_close(maps.cross[grid], cross[grid].transpose(1, 2).unflatten(2, grid))
    assert sum(maps.self_layers.values()) == 10
    assert sum(maps.self_counts.values()) == sum(maps.cross_counts.values()) == 20


def test_maps_sum_to_one_over_keys(lab_backbone, inputs):
    maps = record(lab_backbone, inputs)
    for grid, rows in maps.self_attention.items():
        torch.testing.assert_close(rows.sum(-1), torch.ones(2, grid[0] * grid[1]))
    for grid, tokens in maps.cross.items():
        torch.testing.assert_close(tokens.sum(1), torch.ones(2, *grid))


def test_the_output_is_bit_identical_with_the_recorder_open(lab_backbone, inputs):
    bare = run(lab_backbone, inputs)
    with AttentionRecorder().recording(lab_backbone):
        assert run(lab_backbone, inputs).equal(bare)


def test_an_exception_mid_run_leaves_no_hooks(lab_backbone, lab_modules, inputs):
    before = hook_count(lab_modules.unet)

    class Break(AttentionRecorder):
        def tap(self, call):
            super().tap(call)
            if call.site.stage == "mid":
                raise KeyError("mid-run")

    with pytest.raises(KeyError, match="mid-run"), Break().recording(lab_backbone):
        run(lab_backbone, inputs)
    assert hook_count(lab_modules.unet) == before


def test_sizes_that_halve_unevenly_have_their_own_grids(lab_backbone, inputs):
    latent = torch.randn(2, 4, 5, 11, generator=torch.Generator().manual_seed(2))
    maps = record(lab_backbone, (latent, *inputs[1:]))
    assert list(maps.cross) == [(5, 11), (3, 6), (2, 3)]


def test_positions_stages_grids_and_kinds_are_selected(lab_backbone, inputs):
    whole = record(lab_backbone, inputs, Selection(kinds=("cross",), stages=("up",), grids=((4, 6),)))
    part = record(lab_backbone, inputs, Selection(("cross",), ("up",), ((4, 6),), positions=(5, 2)))
    assert not whole.self_attention and list(whole.cross) == [(4, 6)] and whole.cross_layers[(4, 6)] == 2
    assert part.cross[(4, 6)].equal(whole.cross[(4, 6)][:, [5, 2]])
    assert part.token(2)[(4, 6)].equal(whole.token(2)[(4, 6)])


def test_layers_can_share_one_grid(lab_backbone, inputs):
    maps = record(lab_backbone, inputs, Selection(kinds=("cross",)))
    common = record(lab_backbone, inputs, Selection(kinds=("cross",), resize_to=(8, 12)))
    parts = [resize_maps(maps.cross[grid], (8, 12)) * maps.cross_counts[grid] for grid in maps.cross]
    torch.testing.assert_close(common.cross[(8, 12)], sum(parts) / 10, atol=1e-6, rtol=1e-3)
    assert common.cross_layers == {(8, 12): 10}


def test_timesteps_outside_the_range_are_left_out(lab_backbone, inputs):
    with pytest.raises(ValueError, match="no attention was recorded"):
        record(lab_backbone, inputs, Selection(timesteps=(0, 39)))
    assert record(lab_backbone, inputs, Selection(timesteps=(0, 40))).cross


def test_begin_forgets_and_remembers_the_context(lab_backbone, inputs):
    recorder = AttentionRecorder()
    with recorder.recording(lab_backbone):
        run(lab_backbone, inputs)
        recorder.begin(inputs[2])
        run(lab_backbone, inputs)
    assert sum(recorder.maps().cross_counts.values()) == 10
    recorder.maps().check_text(inputs[2].context)


def test_rows_without_the_positive_conditioning_are_ignored():
    site = AttentionSite("a", "cross", "up", 1, 1)
    recorder = AttentionRecorder()
    recorder.tap(AttentionCall(site, torch.ones(2, 1, 4, 1), torch.ones(2, 1, 3, 1), 1.0, (2, 2), (False, False)))
    with pytest.raises(ValueError, match="no attention"):
        recorder.maps()


def test_a_position_beyond_the_text_is_refused(lab_backbone, inputs):
    with pytest.raises(ValueError, match="the text has 77"):
        record(lab_backbone, inputs, Selection(kinds=("cross",), positions=(77,)))


def test_recording_keeps_no_graph(lab_backbone, inputs):
    latent, timestep, conditioning = inputs
    learnt = conditioning.context.clone().requires_grad_()
    recorder = AttentionRecorder()
    with recorder.recording(lab_backbone):
        lab_backbone.predict_noise(latent, timestep, Conditioning(learnt))
    assert not any(maps.requires_grad for maps in recorder.maps().cross.values())
