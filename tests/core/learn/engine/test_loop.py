import pytest
import torch

from concept_atelier.core.learn.engine.loop import LoopSettings, Optimisation, draw_timesteps, optimise


def test_finds_the_minimum_of_a_parabola():
    x = torch.tensor([3.0, -2.0], requires_grad=True)
    losses = optimise([x], lambda step: (x - 1).square().sum(), LoopSettings(400, 0.05, 0.0, weight_decay=0))
    torch.testing.assert_close(x.detach(), torch.ones(2), atol=1e-2, rtol=0)
    assert losses.shape == (400,) and losses[-1] < 1e-3 < losses[0]


def test_no_other_tensor_gets_a_gradient():
    weight, x = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    optimise([x], lambda step: (weight * x - 1).square().sum(), LoopSettings(2, 0.1))
    assert weight.grad is None and torch.equal(weight, torch.ones(3))


def test_rate_falls_linearly_to_its_share():
    settings = LoopSettings(5, 0.1, 0.2)
    assert [settings.rate_at(step) for step in range(5)] == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    assert LoopSettings(1, 0.1, 0.2).rate_at(0) == 0.1


def test_clipping_bounds_the_gradient_that_the_optimiser_sees():
    seen = []
    x = torch.zeros(4, requires_grad=True)
    optimise([x], lambda step: 1000 * x.sum(), LoopSettings(1, 0.1, clip_norm=0.5), lambda *_: seen.append(x.grad))
    assert seen[0].norm() == pytest.approx(0.5, rel=1e-4)


def test_reports_every_step_and_passes_exceptions_on():
    seen = []
    x = torch.zeros(1, requires_grad=True)

    def stop_at_three(step, loss):
        seen.append(step)
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise([x], lambda step: x.square().sum(), LoopSettings(10, 0.1), stop_at_three)
    assert seen == [1, 2, 3]


def test_a_loss_or_gradient_that_is_not_finite_ends_the_training():
    x = torch.zeros(1, requires_grad=True)
    with pytest.raises(FloatingPointError, match="loss became nan at step 1"):
        optimise([x], lambda step: x.sum() * float("nan"), LoopSettings(3, 0.1))
    with pytest.raises(FloatingPointError, match="gradient became"):
        optimise([x], lambda step: x.abs().sqrt().sum(), LoopSettings(3, 0.1))
    assert torch.equal(x.detach(), torch.zeros(1))


def test_stops_when_the_loss_no_longer_falls():
    x = torch.tensor([1.0], requires_grad=True)
    flat = optimise([x], lambda step: x.sum() * 0 + 1, LoopSettings(50, 0.1, patience=4))
    assert len(flat) == 8
    falling = optimise([x], lambda step: x.sum() * 0 + 50 - step, LoopSettings(50, 0.1, patience=4))
    assert len(falling) == 50
    demanding = optimise(
        [x], lambda step: x.sum() * 0 + 1 / (1 + step), LoopSettings(50, 0.1, patience=4, tolerance=0.3)
    )
    assert 8 < len(demanding) < 50
    late = optimise([x], lambda step: x.sum() * 0 + 1, LoopSettings(50, 0.1, patience=4, earliest=10))
    assert len(late) == 18


def test_the_rate_changes_at_its_update():
    assert [LoopSettings(4, 0.1, later=(2, 0.5)).rate_at(step) for step in range(4)] == [0.1, 0.1, 0.05, 0.05]


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"clip_norm": 0.0}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match="above 0"):
        LoopSettings(**({"steps": 1, "rate": 0.1} | wrong))


@pytest.mark.parametrize("wrong", [{"patience": -1}, {"tolerance": 1.5}])
def test_patience_is_checked(wrong):
    with pytest.raises(ValueError, match="patience is"):
        LoopSettings(1, 0.1, **wrong)


def test_even_timesteps_have_one_in_each_stretch_and_still_reach_everywhere(generator):
    for _ in range(20):
        drawn = draw_timesteps(1000, (0.2, 0.6), 4, generator, even=True)
        assert sorted((drawn - 200).div(100, rounding_mode="floor").tolist()) == [0, 1, 2, 3]
    many = torch.cat([draw_timesteps(1000, (0.2, 0.6), 3, generator, even=True) for _ in range(1000)])
    assert many.min() >= 200 and many.max() < 600 and len(many.unique()) > 390


def test_timesteps_stay_in_their_span_and_fill_it(generator):
    drawn = draw_timesteps(1000, (0.2, 0.3), 2000, generator)
    assert drawn.min() >= 200 and drawn.max() < 300 and len(drawn.unique()) == 100
    assert draw_timesteps(1000, (1.0, 1.0), 3, generator).tolist() == [999] * 3


def test_parts_of_an_update_are_averaged():
    """Two parts that pull to 0 and 2 pull to 1; the loss is their mean."""
    x, asked = torch.tensor([3.0], requires_grad=True), []

    def loss_of(step):
        asked.append(step)
        return (x - 2 * (len(asked) % 2)).square().sum()

    losses = optimise([x], loss_of, LoopSettings(300, 0.1, 0.0, weight_decay=0, parts=2))
    assert asked[:4] == [0, 0, 1, 1] and len(losses) == 300
    assert float(losses[0]) == pytest.approx((9 + 1) / 2)
    torch.testing.assert_close(x.detach(), torch.ones(1), atol=1e-2, rtol=0)
    with pytest.raises(ValueError, match="at least 1 part"):
        LoopSettings(1, 0.1, parts=0)


def test_shares_of_the_rate():
    slow, fast = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    loop = LoopSettings(1, 0.1, weight_decay=0)
    optimise([slow, fast], lambda step: (slow + fast).sum(), loop, shares=[0.01, 1.0])
    slow, fast = float(slow.detach()), float(fast.detach())
    assert slow == pytest.approx(0.01 * fast) and fast == pytest.approx(-0.1, rel=1e-3)


def test_a_training_may_end_itself_and_is_asked_before_each_update():
    leaf, asked = torch.ones(1, requires_grad=True), []

    def ended(made):
        asked.append(made)
        return made == 3

    losses = Optimisation([leaf], LoopSettings(10, 0.1)).run(lambda step: (leaf**2).sum(), ended=ended)
    assert len(losses) == 3 and asked == [0, 1, 2, 3]
