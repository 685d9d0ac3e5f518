"""Where a concept is: models that know the picture in some cells say so."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning, TokenizedText
from concept_atelier.core.erase.guards import regions
from concept_atelier.core.erase.guards.guard import Guarded
from concept_atelier.core.erase.guards.regions import RegionSettings, filled, find_region, odd_width, widened
from concept_atelier.core.masks.words import WordAttention
from concept_atelier.core.schedule import DiffusionSchedule, FlowSchedule, flow_sigmas, scaled_linear_alphas
from concept_atelier.host.shared.guards import guarded_concepts

SCHEDULES = {
    "diffusion": DiffusionSchedule(scaled_linear_alphas()),
    "flow": FlowSchedule(flow_sigmas().clamp(max=0.999)),
}
NOTHING, TRUE, WRONG = (Conditioning(torch.full((1, 3, 3), float(value))) for value in range(3))
SETTINGS = RegionSettings(spread=0)
PLACE = torch.zeros(1, 16, 16, dtype=torch.bool)
PLACE[:, 2:8, 5:12] = True


def knowing_model(kind, clean):
    """Without a text it says half of the answer; with the true text all of it in a place; the wrong text spoils it."""
    schedule = SCHEDULES[kind]

    def predict(latent, timestep, conditioning):
        zero, one = torch.zeros_like(clean), torch.ones_like(clean)
        signal, share = schedule.add_noise(one, zero, timestep), schedule.add_noise(zero, one, timestep)
        answer = schedule.target(clean, (latent - signal * clean) / share)
        factor = {0.0: 0.5, 1.0: 1.0, 2.0: -1.0}[float(conditioning.context[0, 0, 0])]
        return torch.where(PLACE[:, None], factor, 0.5) * answer

    return SimpleNamespace(schedule=schedule, predict_target=predict)


@pytest.fixture
def found(monkeypatch):
    """Regions of a text by a model whose attention to it lies on ``attended`` (1, 16, 16)."""

    def go(kind, text, settings=SETTINGS, attended=PLACE):
        cross = torch.cat([attended.float(), 1 - attended.float()])

        def attention_in(passes, backbone, size, groups, how, background):
            passes()
            assert size == (16, 16) and groups == [(1,), (0,)] and background
            return WordAttention(cross, torch.eye(256))

        monkeypatch.setattr(regions, "attention_in", attention_in)
        clean = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(9))
        concept = Guarded("cat", text, TokenizedText((), 0, 2, 3), (1,), NOTHING)
        return find_region(knowing_model(kind, clean), concept, clean, settings, torch.Generator().manual_seed(0))

    return go


@pytest.mark.parametrize("kind", SCHEDULES)
def test_what_the_text_says_rightly_is_found_where_it_is_attended_to(found, kind):
    """There the text takes away the whole error, which is as much as it changes."""
    region = found(kind, TRUE)
    assert torch.equal(region.cells, PLACE)
    assert float(region.presence) == pytest.approx(1.0, abs=0.05)
    assert float(region.score[PLACE].min()) > 0 >= float(region.score[~PLACE].max())
    assert float(found(kind, WRONG).score[PLACE].max()) < 0  # which keeps nothing


@pytest.mark.parametrize("kind", SCHEDULES)
def test_what_the_text_says_wrongly_or_elsewhere_is_not_there(found, kind):
    wrong = found(kind, WRONG)
    assert not wrong.cells.any() and float(wrong.presence) < 0.1
    assert not found(kind, NOTHING).cells.any()
    exact = RegionSettings(spread=0, smooth=0.0)
    assert not found(kind, TRUE, exact, attended=PLACE.flip(1)).cells.any()


def test_a_presence_below_zero_takes_what_is_attended_to_in_any_picture(found):
    assert torch.equal(found("flow", NOTHING, RegionSettings(present=-1.0, spread=0)).cells, PLACE)
    assert int(found("flow", TRUE, RegionSettings(spread=1)).cells.sum()) == 8 * 9


def test_the_passes_are_those_that_the_settings_count(lab_backbone, monkeypatch):
    asked, predict = [], lab_backbone.predict_target

    def count(latent, timestep, conditioning):
        asked.append(latent.shape)
        return predict(latent, timestep, conditioning)

    monkeypatch.setattr(lab_backbone, "predict_target", count)
    (concept,) = guarded_concepts(lab_backbone, ["cat"], "", {}, 1.0)
    latent = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    settings = RegionSettings(draws=2, present=-100.0)
    region = find_region(lab_backbone, concept, latent, settings, torch.Generator().manual_seed(0))
    assert asked == [latent.shape] * settings.passes
    assert region.cells.shape == (1, 8, 12) and region.cells.any() and region.presence.shape == (1,)


def test_a_region_is_filled_with_what_lies_around_it():
    latent = torch.randn(2, 4, 8, 9, generator=torch.Generator().manual_seed(1))
    region = torch.zeros(2, 8, 9, dtype=torch.bool)
    region[0, 2:7, 3:8] = True
    level = torch.where(region[:, None], latent, torch.tensor([1.0, -2.0, 3.0, 0.0]).view(1, 4, 1, 1))
    done = filled(level, region)
    torch.testing.assert_close(done[0], torch.tensor([1.0, -2.0, 3.0, 0.0]).view(4, 1, 1).expand(4, 8, 9))
    assert torch.equal(filled(latent, region)[1], latent[1])
    assert torch.equal(filled(latent, torch.ones_like(region)), torch.zeros_like(latent))


def test_widths_are_odd_shares_of_the_shorter_side_and_regions_widen_by_cells():
    latent = torch.zeros(1, 4, 16, 24)
    assert [odd_width(share, latent) for share in (0.0, 0.06, 0.15, 0.3)] == [1, 1, 3, 5]
    one = torch.zeros(1, 5, 5, dtype=torch.bool)
    one[0, 2, 2] = True
    assert int(widened(one, 1).sum()) == 9 and torch.equal(widened(one, 0), one)


@pytest.mark.parametrize("wrong", [{"share": 0.0}, {"share": 1.0}, {"threshold": 1.5}, {"draws": 0}, {"spread": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        RegionSettings(**wrong)
