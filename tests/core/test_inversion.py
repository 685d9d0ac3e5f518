"""Inversion: exact where the answer is known, and back to the picture on real models."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning
from concept_atelier.core.inversion import Trajectory, invert, level_table, levels_of_steps
from concept_atelier.core.sampling import ddim
from concept_atelier.core.schedule import DiffusionSchedule, FlowSchedule, flow_sigmas, scaled_linear_alphas

ALPHAS = scaled_linear_alphas()
SPREADS = torch.tensor([0.5, 1.0, 2.0]).view(1, 3, 1, 1)
SCHEDULES = {"diffusion": DiffusionSchedule(ALPHAS), "flow": FlowSchedule(flow_sigmas().clamp(max=0.999))}
NOTHING = Conditioning(torch.zeros(1, 2, 3))


def gaussian_model(kind, asked=None):
    """Knows pictures whose channels are normal with the spreads: its answer is linear in the latent."""
    schedule = SCHEDULES[kind]

    def predict(latent, timestep, conditioning):
        if asked is not None:
            asked.append(int(timestep[0]))
        ones = torch.ones(len(latent), 1, 1, 1, dtype=latent.dtype)
        signal = schedule.add_noise(ones, 0 * ones, timestep)
        share = schedule.add_noise(0 * ones, ones, timestep)
        variance = signal**2 * SPREADS**2 + share**2
        noise = share / variance * latent
        return noise if kind == "diffusion" else noise - signal * SPREADS**2 / variance * latent

    return SimpleNamespace(schedule=schedule, predict_target=predict)


def pictures(rows=2):
    return SPREADS * torch.randn(rows, 3, 4, 5, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("kind", SCHEDULES)
def test_on_a_linear_model_the_picture_comes_back_exactly(kind):
    path, clean = Trajectory(gaussian_model(kind), NOTHING), pictures()
    found = invert(path, clean, levels_of_steps(path.backbone.schedule, 12).double(), passes=60)
    torch.testing.assert_close(found.returned, clean, rtol=1e-4, atol=1e-4)
    assert float(found.error(clean).max()) < 1e-4


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_start_of_a_linear_model_is_the_known_one(kind):
    """Every channel is scaled on its own: a step from level h to l multiplies it by 1 + (l - h) slope(h)."""
    path, clean = Trajectory(gaussian_model(kind), NOTHING), pictures()
    levels = levels_of_steps(path.backbone.schedule, 12).double()
    ones = torch.ones(1, 3, 1, 1, dtype=torch.double)
    factor = torch.ones_like(ones)
    for level, following in zip(levels, levels[1:], strict=False):
        factor = factor * (1 + (following - level) * path.slope(ones, level))
    found = invert(path, clean, levels, passes=60)
    torch.testing.assert_close(found.start, clean / factor, rtol=1e-3, atol=1e-3)


def test_more_passes_bring_the_picture_back_more_exactly_and_settled_steps_stop():
    asked = []
    path, clean = Trajectory(gaussian_model("diffusion", asked), NOTHING), pictures()
    levels = levels_of_steps(path.backbone.schedule, 12).double()
    errors = [float(invert(path, clean, levels, passes=passes).error(clean).max()) for passes in (1, 3, 9)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]
    asked.clear()
    invert(path, clean, levels, passes=500)
    assert len(asked) < 12 * 100


def test_each_picture_is_inverted_as_if_it_were_alone(lab_backbone):
    path = Trajectory(lab_backbone, lab_backbone.encode_text(["a cat"]))
    clean = torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(2))
    levels = levels_of_steps(lab_backbone.schedule, 3)
    both, second = invert(path, clean, levels), invert(path, clean[1:], levels)
    torch.testing.assert_close(both.start[1:], second.start, rtol=1e-3, atol=1e-3)


def test_real_models_give_the_picture_back(lab_backbone, lab_transformer):
    from concept_atelier.host.adapters import backbone_of

    for backbone in (lab_backbone, backbone_of(*lab_transformer)):
        path = Trajectory(backbone, backbone.encode_text(["a cat on blue"]), backbone.encode_text([""]), 1.5)
        clean = torch.randn(1, 4, 8, 6, generator=torch.Generator().manual_seed(2))
        found = invert(path, clean, levels_of_steps(backbone.schedule, 16), passes=12)
        assert float(found.error(clean)) < 0.03
        assert float((found.start - clean).square().mean()) > 0.1


def test_drawing_is_what_ddim_draws(lab_backbone):
    """Along the levels of its timesteps, down to its last one."""
    text, shape = lab_backbone.encode_text(["a cat"]), (1, 4, 8, 6)
    drawn = ddim(lab_backbone, text, text, shape[2:], steps=4, guidance=1.0, seed=3)
    table = level_table(lab_backbone.schedule)
    levels = table[torch.linspace(len(table) - 1, 0, 5).round().long()].float()
    start = torch.randn(shape, generator=torch.Generator().manual_seed(3)) * (1 + levels[0] ** 2).sqrt()
    with torch.no_grad():
        end = Trajectory(lab_backbone, text).draw(start, levels) / (1 + levels[-1] ** 2).sqrt()
    torch.testing.assert_close(end, drawn, rtol=1e-3, atol=1e-3)


def test_steps_are_reported_and_what_the_report_raises_stops_the_run():
    path, clean, seen = Trajectory(gaussian_model("flow"), NOTHING), pictures(), []
    levels = levels_of_steps(path.backbone.schedule, 3)
    invert(path, clean, levels, on_step=lambda step, total: seen.append((step, total)))
    assert seen == [(step, 6) for step in range(1, 7)]

    def cancel(step, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        invert(path, clean, levels, on_step=cancel)


@pytest.mark.parametrize("levels", [[1.0, 2.0, 0.0], [2.0, 1.0], [0.0]])
def test_levels_that_do_not_fall_to_0_are_refused(levels):
    with pytest.raises(ValueError, match="must fall to 0"):
        invert(Trajectory(gaussian_model("flow"), NOTHING), pictures(), torch.tensor(levels))
    with pytest.raises(ValueError, match="passes must be at least 1"):
        invert(Trajectory(gaussian_model("flow"), NOTHING), pictures(), torch.tensor([1.0, 0.0]), passes=0)
