"""Guards against known answers."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning, TokenizedText
from concept_atelier.core.erase.guards.guard import Guarded, GuardTask, along
from concept_atelier.core.erase.guards.registry import METHODS
from concept_atelier.core.schedule import FlowSchedule, flow_sigmas

SCHEDULE = FlowSchedule(flow_sigmas().clamp(max=0.999))
LEVEL = torch.tensor(0.6)


def vector_model():
    """Its prediction is its text: the first 4 numbers of the context, in every cell."""

    def predict(latent, timestep, conditioning):
        return conditioning.context[:, 0, :4, None, None].expand_as(latent)

    return SimpleNamespace(schedule=SCHEDULE, predict_target=predict, family="flux")


def text(*values):
    return Conditioning(torch.tensor(values).view(1, 1, 4))


def task_of(name, strength=1.0, times=1, **changes):
    guard = METHODS[name]
    concept = Guarded("cat", text(1.0, 1.0, 0.0, 0.0), TokenizedText((), None, 0, 1), (0,), text(1.0, 0.0, 0.0, 0.0))
    settings = type(guard.preset("paper"))(**changes)
    model = vector_model()
    return guard.begin(GuardTask(model, model, (concept,) * times, settings, strength))


def corrected(run, slope, guidance=1.0):
    given = torch.tensor(slope).view(1, 4, 1, 1).expand(1, 4, 2, 3)
    return run.corrected(given, torch.zeros(1, 4, 2, 3), LEVEL, guidance)[0, :, 0, 0].tolist()


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_dve_takes_the_share_of_the_direction(strength):
    run = task_of("dve", strength, only_towards=False)
    assert corrected(run, [3.0, 2.0, 5.0, 0.0]) == pytest.approx([3.0, 2.0 * (1 - strength), 5.0, 0.0])
    assert corrected(run, [3.0, -2.0, 5.0, 0.0]) == pytest.approx([3.0, -2.0 * (1 - strength), 5.0, 0.0])


def test_dve_may_leave_what_leads_away():
    run = task_of("dve", only_towards=True)
    assert corrected(run, [3.0, -2.0, 5.0, 0.0]) == pytest.approx([3.0, -2.0, 5.0, 0.0])
    assert corrected(run, [3.0, 2.0, 5.0, 0.0]) == pytest.approx([3.0, 0.0, 5.0, 0.0])


def test_the_guidance_of_the_concept_becomes_that_of_its_anchor():
    """The prediction for the concept at guidance g, from an unconditional one of 0, becomes that for its anchor."""
    assert corrected(task_of("guidance", share=False), [4.0, 4.0, 0.0, 0.0], 4.0) == pytest.approx([4.0, 0, 0, 0])
    assert corrected(task_of("guidance", share=True), [4.0, 4.0, 0.0, 0.0], 4.0) == pytest.approx([4.0, 0, 0, 0])
    assert corrected(task_of("guidance", share=True), [4.0, 0.0, 7.0, 0.0], 4.0) == pytest.approx([4.0, 0, 7.0, 0])


@pytest.mark.parametrize("name", ["guidance", "dve"])
def test_what_two_names_of_a_thing_share_is_taken_once(name):
    """Synonyms lead in nearly one direction; what the first took out is gone when the second comes."""
    given = [4.0, 3.0, 7.0, 0.0]
    assert corrected(task_of(name, times=3), given, 4.0) == pytest.approx(corrected(task_of(name), given, 4.0))


def test_a_guard_acts_within_its_span():
    assert corrected(task_of("dve", start=0.9), [3.0, 2.0, 5.0, 0.0]) == pytest.approx([3.0, 2.0, 5.0, 0.0])


def test_the_share_along_nothing_is_nothing():
    zero = torch.zeros(1, 4, 2, 2)
    assert float(along(torch.ones(1, 4, 2, 2), zero)) == 0


def test_adavd_leaves_values_at_right_angles_and_takes_those_along_the_concept():
    run = task_of("adavd", threshold=0.5, slope=1000.0)
    concept = torch.zeros(1, 2, 3, 2)
    concept[..., 0] = 1  # heads 2, rows 3
    value = torch.zeros(1, 2, 3, 2)
    value[..., 0, :] = 1
    value[:, :, 1] = torch.tensor([2.0, 0.0])
    value[:, :, 2] = torch.tensor([0.0, 5.0])
    changed = run._without(value, concept)
    assert torch.equal(changed[:, :, 0], value[:, :, 0]) and torch.equal(changed[:, :, 2], value[:, :, 2])
    torch.testing.assert_close(changed[:, :, 1], -value[:, :, 1])  # a weight of 2 at a cosine far above the threshold


@pytest.mark.parametrize("name", METHODS)
def test_every_guard_says_what_it_is_and_costs(name):
    guard = METHODS[name]
    assert list(guard.presets) == ["paper", "small"] and guard.help.endswith(".")
    assert all("pass" in settings.cost for settings in guard.presets.values())
