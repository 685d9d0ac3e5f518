"""The training that methods share: rollouts of the model as it was, cancel and resume, and one seed, one change."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.erase.methods.esd import METHOD
from concept_atelier.core.erase.parts.rollouts import Rollouts, Texts
from concept_atelier.core.erase.parts.task import EraseTask, TrainingRequest
from concept_atelier.core.erase.parts.trained_settings import RolloutSettings
from concept_atelier.core.erase.parts.training import train
from concept_atelier.core.sampling import ddim
from concept_atelier.core.types import FullChange

QUICK = replace(METHOD.preset("small"), steps=4, batch=1, side=64, sampling_steps=3, templates=("{}",))


class Store:
    """Keeps states in memory."""

    every = 1

    def __init__(self):
        self.states, self.aside = {}, []

    def load(self, fingerprint):
        return self.states.get(fingerprint)

    def save(self, fingerprint, state):
        self.states[fingerprint] = dict(state)

    def discard(self, fingerprint):
        self.states.pop(fingerprint, None)

    def set_aside(self, fingerprint, why):
        self.aside.append(why)


def erase(backbone, settings=QUICK, **asked):
    return METHOD.erase(backbone, ["cat"], "", ["crab"], settings, training=TrainingRequest(**asked)).factors


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name].dense(), other[name].dense()) for name in one)


def test_a_cancelled_training_goes_on_and_ends_as_if_it_had_not_been(lab_backbone):
    store, whole = Store(), erase(lab_backbone)

    def cancel(done, total, loss, change):
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        erase(lab_backbone, report=cancel, store=store)
    assert len(store.states) == 1
    seen = []
    resumed = erase(lab_backbone, report=lambda done, *_: seen.append(done), store=store)
    assert seen == [3, 4] and same(resumed, whole) and not store.states and not store.aside


def test_another_task_starts_at_its_beginning(lab_backbone):
    store = Store()

    def cancel(*_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        erase(lab_backbone, report=cancel, store=store)
    seen = []
    erase(lab_backbone, report=lambda done, *_: seen.append(done), store=store, seed=1)
    assert seen == [1, 2, 3, 4] and not same(erase(lab_backbone), erase(lab_backbone, seed=1))


def test_a_model_of_which_any_weight_differs_starts_at_the_beginning(lab_backbone, lab_model, lab_clip, lab_vae):
    """A weight that is neither trained nor read by text: its training is another one."""
    from concept_atelier.host.adapters import backbone_of
    from concept_atelier.host.shared.weights.weight_patches import WeightPatch

    store, size = Store(), lab_model.unet.get_parameter("conv_in.weight").shape
    noise = 0.1 * torch.randn(size, generator=torch.Generator().manual_seed(0))
    patch = WeightPatch({"conv_in.weight": FullChange(noise.flatten(1))})
    other = backbone_of(lab_model.with_patch(patch), lab_clip, lab_vae)

    def cancel(done, *_):
        if done == 2:
            raise InterruptedError

    for backbone in (lab_backbone, other):
        with pytest.raises(InterruptedError):
            erase(backbone, report=cancel, store=store)
    assert len(store.states) == 2
    seen = []
    erase(other, report=lambda done, *_: seen.append(done), store=store)
    assert seen == [3, 4] and len(store.states) == 1


def test_a_rollout_visits_what_the_sampler_passes(lab_backbone):
    """Every visited latent is one of the states of the sampler from the same noise."""
    settings = RolloutSettings(batch=2, side=64, sampling_steps=4, visits=0, templates=("a {}",))
    task = EraseTask(lab_backbone, (("cat", ""),), (), settings)
    rollouts = Rollouts(task, Texts(task), torch.Generator().manual_seed(0))
    visits = [rollouts.visit(step) for step in range(4)]
    ordered = sorted(visits, key=lambda visit: -int(visit.timestep[0]))
    assert [int(visit.timestep[0]) for visit in ordered] == [999, 749, 500, 250]
    states = []
    start = ordered[0].latent

    class Watching:
        def __getattr__(self, name):
            return getattr(lab_backbone, name)

        def predict_noise(self, latent, timestep, conditioning):
            states.append(latent[:2].clone())
            return lab_backbone.predict_noise(latent, timestep, conditioning)

    positive, negative = lab_backbone.encode_text(["a cat"] * 2), lab_backbone.encode_text([""])
    import concept_atelier.core.sampling as sampling

    kept, sampling.starting_noise = sampling.starting_noise, lambda shape, seed: start
    try:
        ddim(Watching(), positive, negative, (8, 8), steps=4, guidance=3.0)
    finally:
        sampling.starting_noise = kept
    for visit, state in zip(ordered, states, strict=True):
        torch.testing.assert_close(visit.latent, state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"visits": 51}, "visits must be 0 to 50"),
        ({"surgery": 0.5}, "retain must be above 0 where surgery is"),
        ({"surgery": 2.0, "retain": 1.0}, "surgery must be 0 to 1"),
        ({"rank": 0}, "rank must be 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RolloutSettings(**wrong)


@pytest.mark.parametrize(("retain", "surgery"), [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0)])
def test_an_update_follows_both_losses_as_weight_and_surgery_say(lab_backbone, retain, surgery):
    """Losses of the first factor alone, with the gradients (1, 1, 0) and (-1, 0, 1) of three of its numbers."""
    settings = replace(QUICK, steps=1, retain=retain, surgery=surgery, rate=1e-3)
    begun = []

    def losses_of(student, visit):
        factor, *others = student.bank.parameters()
        begun.append(factor.detach().clone())
        moved = (factor - begun[0]).flatten()
        idle = sum(0.0 * other.sum() for other in others)
        return moved[0] + moved[1] + 1.0 + idle, (1.0 - moved[0] + moved[2]).square() / 2 + idle

    student, losses = train("esd", EraseTask(lab_backbone, (("cat", ""),), ("crab",), settings), losses_of)
    assert float(losses[0]) == pytest.approx(1.0 + 0.5 * retain)
    step = (student.bank.parameters()[0].detach() - begun[0]).flatten()[:3] / 1e-3
    # Against (1, 1, 0), against the sum (-1, 1, 2), and against (0.5, 1, 0.5), of which nothing is against keeping.
    wanted = {(0.0, 0.0): [-1, -1, 0], (2.0, 0.0): [1, -1, -1], (2.0, 1.0): [-1, -1, -1]}[retain, surgery]
    torch.testing.assert_close(step.sign() * (step.abs() > 0.1), torch.tensor(wanted, dtype=step.dtype))
