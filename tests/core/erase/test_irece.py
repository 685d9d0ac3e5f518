"""IRECE: only the region changes, to what lies around it under noise of the step's own level."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.backbone import Conditioning, TokenizedText
from concept_atelier.core.erase.guards import irece
from concept_atelier.core.erase.guards.guard import Guarded, GuardTask
from concept_atelier.core.erase.guards.regions import Region
from concept_atelier.core.schedule import DiffusionSchedule, FlowSchedule, flow_sigmas, scaled_linear_alphas

SCHEDULES = {
    "diffusion": (DiffusionSchedule(scaled_linear_alphas()), torch.tensor(2.0)),
    "flow": (FlowSchedule(flow_sigmas().clamp(max=0.999)), torch.tensor(0.6)),
}
NOTHING = Conditioning(torch.zeros(1, 2, 3))
CELLS = torch.zeros(1, 24, 24, dtype=torch.bool)
CELLS[:, 4:20, 4:20] = True


def start(kind, monkeypatch, cells=CELLS, strength=1.0, **settings):
    """A run on a model that predicts no noise: what it sees is clean, but for a flow's velocity of 0."""
    schedule, _ = SCHEDULES[kind]
    model = SimpleNamespace(schedule=schedule, predict_target=lambda latent, timestep, text: torch.zeros_like(latent))
    monkeypatch.setattr(irece, "find_region", lambda *given: Region(cells, torch.ones(1), cells.float()))
    concept = Guarded("cat", NOTHING, TokenizedText((), 0, 1, 2), (1,), NOTHING)
    return irece.METHOD.begin(
        GuardTask(model, model, (concept,), irece.PerturbationSettings(**settings), strength, seed=3)
    )


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_region_becomes_what_lies_around_it_under_new_noise(kind, monkeypatch):
    level = SCHEDULES[kind][1]
    latent = torch.where(CELLS[:, None], 9.0, torch.full((1, 4, 24, 24), 0.5))
    led = start(kind, monkeypatch).perturbed(latent, level)
    assert torch.equal(led[:, :, ~CELLS[0]], latent[:, :, ~CELLS[0]])
    inside = led[:, :, CELLS[0]]
    around = 0.5 if kind == "diffusion" else (1 - float(level)) * 0.5
    assert float(inside.mean()) == pytest.approx(around, abs=0.15)
    assert float(inside.std()) == pytest.approx(float(level), rel=0.1)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_where_nothing_is_found_or_the_guard_does_not_act_the_latent_is_itself(kind, monkeypatch):
    latent, level = torch.randn(2, 4, 24, 24, generator=torch.Generator().manual_seed(1)), SCHEDULES[kind][1]
    assert start(kind, monkeypatch, torch.zeros_like(CELLS)).perturbed(latent, level) is latent
    assert start(kind, monkeypatch, start=0.98, end=0.99).perturbed(latent, level) is latent
    torch.testing.assert_close(start(kind, monkeypatch, strength=0.0).perturbed(latent, level), latent)
    torch.testing.assert_close(start(kind, monkeypatch, noise=0.0).perturbed(latent, level), latent)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_the_model_before_the_erasure_is_asked_and_the_erased_one_never(kind, monkeypatch):
    schedule, level = SCHEDULES[kind]
    original = SimpleNamespace(
        schedule=schedule, predict_target=lambda latent, timestep, text: torch.zeros_like(latent)
    )
    erased, asked = SimpleNamespace(schedule=schedule), []

    def found(backbone, *given):
        asked.append(backbone)
        return Region(CELLS, torch.ones(1), CELLS.float())

    monkeypatch.setattr(irece, "find_region", found)
    concept = Guarded("cat", NOTHING, TokenizedText((), 0, 1, 2), (1,), NOTHING)
    run = irece.METHOD.begin(GuardTask(erased, original, (concept,), irece.PerturbationSettings()))
    latent = torch.ones(1, 4, 24, 24)
    assert not torch.equal(run.perturbed(latent, level), latent)
    assert asked == [original]


def test_what_is_preserved_keeps_the_cells_of_which_its_text_says_more(monkeypatch):
    """The concept is in 4..20 with a score of 1. Of the columns 12..24 the text of what is preserved says more above,
    and less below."""
    schedule, level = SCHEDULES["diffusion"]
    model = SimpleNamespace(schedule=schedule, predict_target=lambda latent, timestep, text: torch.zeros_like(latent))
    scores = torch.full((1, 24, 24), -1.0)
    scores[:, :, 12:] = torch.where(torch.arange(24)[:, None] < 10, 2.0, 0.5)
    nowhere = torch.zeros_like(CELLS)
    regions = {"cat": Region(CELLS, torch.ones(1), CELLS.float()), "dog": Region(nowhere, torch.zeros(1), scores)}
    asked = []

    def find(backbone, concept, clean, settings, generator):
        asked.append(concept.name)
        return regions[concept.name]

    monkeypatch.setattr(irece, "find_region", find)
    cat = Guarded("cat", NOTHING, TokenizedText((), 0, 1, 2), (1,), NOTHING)
    task = GuardTask(model, model, (cat,), irece.PerturbationSettings(), preserve=(replace(cat, name="dog"),))
    latent = torch.ones(1, 4, 24, 24)
    moved = irece.METHOD.begin(task).perturbed(latent, level) != latent
    wanted = CELLS.clone()
    wanted[:, :10, 12:] = False
    assert torch.equal(moved, wanted[:, None].expand_as(moved))
    assert asked == ["cat", "dog"]
    regions["cat"] = Region(nowhere, torch.zeros(1), CELLS.float())
    assert irece.METHOD.begin(task).perturbed(latent, level) is latent and len(asked) == 3  # nobody looks for the dog


def test_its_settings_have_ranges():
    for wrong in ({"noise": 1.5}, {"draws": 0}, {"start": 0.9, "end": 0.1}, {"present": float("nan")}):
        with pytest.raises(ValueError):
            irece.PerturbationSettings(**wrong)
