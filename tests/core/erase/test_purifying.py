"""Purifying: what is drawn anew, and that the rest stays to the bit."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.erase.guards.guard import GuardRun
from concept_atelier.core.erase.purifying import PurifyTask, cells_of, pasted, purify
from concept_atelier.core.inversion import Trajectory, levels_of_steps
from concept_atelier.core.schedule import DiffusionSchedule, FlowSchedule, flow_sigmas, scaled_linear_alphas

SCHEDULES = {
    "diffusion": DiffusionSchedule(scaled_linear_alphas()),
    "flow": FlowSchedule(flow_sigmas().clamp(max=0.999)),
}
CELL = 2
NOTHING = Conditioning(torch.zeros(1, 2, 3))


def grey_model(kind, asked=None):
    """Knows one picture, of which every latent is 0; its autoencoder keeps one pixel of each cell."""
    schedule = SCHEDULES[kind]

    def predict(latent, timestep, conditioning):
        if asked is not None:
            asked.append(len(latent))
        one = torch.ones(len(latent), 1, 1, 1)
        return latent / schedule.add_noise(0 * one, one, timestep)

    return SimpleNamespace(
        schedule=schedule,
        predict_target=predict,
        latent_downscale=CELL,
        encode_image=lambda picture: picture[..., ::CELL, ::CELL] * 2 - 1,
        decode_latent=lambda latent: (latent.repeat_interleave(CELL, -1).repeat_interleave(CELL, -2) + 1) / 2,
    )


def pictures(rows=2, size=(16, 24)):
    return torch.rand(rows, 3, *size, generator=torch.Generator().manual_seed(2))


def regions(rows=2, size=(8, 12)):
    cells = torch.zeros(rows, *size, dtype=torch.bool)
    cells[:, 2:5, 3:7] = True
    return cells


def task_of(kind="diffusion", asked=None, steps=6, **changes):
    path = Trajectory(grey_model(kind, asked), NOTHING)
    levels = levels_of_steps(path.backbone.schedule, steps)
    return PurifyTask(**({"path": path, "pictures": pictures(), "regions": regions(), "levels": levels} | changes))


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_region_becomes_what_the_model_knows_and_the_rest_stays_to_the_bit(kind, inverted):
    task = task_of(kind, inverted=inverted)
    done = purify(task)
    inside = torch.zeros(16, 24, dtype=torch.bool)
    inside[4:10, 6:14] = True
    near = torch.zeros_like(inside)
    near[3:11, 5:15] = True
    assert torch.equal(done[..., ~near], task.pictures[..., ~near])
    assert (done[..., inside] - 0.5).abs().max() < 0.02
    assert (task.pictures[..., inside] - 0.5).abs().mean() > 0.2


def test_a_picture_without_a_region_costs_nothing_and_each_is_drawn_as_if_alone():
    asked, cells = [], regions()
    cells[0] = False
    task = task_of(asked=asked, regions=cells)
    done = purify(task)
    assert torch.equal(done[0], task.pictures[0]) and len(asked) == 6
    alone = task_of(pictures=task.pictures[1:], regions=cells[1:], seed=1)
    assert torch.equal(purify(alone)[0], done[1])


def test_steps_are_counted_over_all_pictures_and_may_stop_the_run():
    seen = []
    purify(task_of(), lambda step, total: seen.append((step, total)))
    assert seen == [(step, 12) for step in range(1, 13)]

    def stop(step, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purify(task_of(), stop)


def test_a_guard_acts_in_a_run_of_its_own_for_every_picture():
    begun = []

    class Towards(GuardRun):
        def corrected(self, slope, latent, level, guidance):
            begun[-1] += 1
            return (latent - 0.5) / level  # leads to 0.5 instead of 0

    def begin(backbone):
        begun.append(0)
        return Towards()

    done = purify(task_of(guard=begin))
    assert begun == [6, 6]
    assert (done[..., 4:10, 6:14] - 0.75).abs().max() < 0.02


def test_sides_that_are_no_multiples_keep_their_margin():
    picture, drawn = pictures(1, (17, 25)), torch.zeros(1, 3, 16, 24)
    done = pasted(picture, drawn, torch.ones(1, 8, 12, dtype=torch.bool), CELL)
    assert done.shape == picture.shape and float(done[..., :16, :24].max()) == 0
    assert torch.equal(done[..., 16:, :], picture[..., 16:, :]) and torch.equal(done[..., 24:], picture[..., 24:])


def test_masks_take_every_cell_that_they_touch():
    mask = torch.zeros(1, 16, 24)
    mask[0, 5, 7] = 1
    cells = cells_of(mask, (16, 24), CELL)
    assert cells.shape == (1, 8, 12) and cells.nonzero().tolist() == [[0, 2, 3]]
    assert cells_of(torch.ones(2, 4, 4), (17, 24), CELL).all()


def test_regions_of_another_size_are_refused():
    with pytest.raises(ValueError, match="regions must have the latent's"):
        purify(task_of(regions=torch.ones(2, 4, 4, dtype=torch.bool)))
