"""Which layers and which noise a picture is observed with."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.localize.parts.observation import observe
from concept_atelier.core.localize.parts.settings import PAPER, SMALL_GRID
from concept_atelier.host.adapters import backbone_of

PICTURE = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def ran(backbone, settings, monkeypatch):
    """The layers that are tapped, the timesteps of the passes, and what is seen."""
    tapped, steps, predict, listen = [], [], backbone.predict_noise, backbone.tap_attention
    monkeypatch.setattr(backbone, "predict_noise", lambda *given: steps.append(int(given[1])) or predict(*given))
    monkeypatch.setattr(backbone, "tap_attention", lambda tap, sites: tapped.append(sites) or listen(tap, sites))
    seen = observe(backbone, PICTURE, settings, seed=1)
    monkeypatch.undo()
    return {site.name for sites in tapped for site in sites}, steps, seen


@pytest.fixture(params=["unet", "transformer"])
def backbone(request, lab_model, lab_clip, lab_vae, lab_transformer):
    return backbone_of(*(lab_transformer if request.param == "transformer" else (lab_model, lab_clip, lab_vae)))


def test_only_the_layers_asked_for_are_read(backbone, monkeypatch):
    chosen = tuple(site.name for site in backbone.attention_sites() if site.downscale == 1)[:2]
    names, _, seen = ran(backbone, replace(SMALL_GRID, layers=chosen), monkeypatch)
    assert names == set(chosen)
    assert not torch.equal(seen.attention, observe(backbone, PICTURE, SMALL_GRID, seed=1).attention)
    assert torch.allclose(seen.attention.sum(1), torch.ones(48), atol=1e-5)


@pytest.mark.parametrize(("settings", "passes"), [(SMALL_GRID, 8), (PAPER, 1)], ids=["small", "paper"])
def test_a_share_of_noise_stands_for_the_timestep_and_is_drawn_at_least_once(backbone, settings, passes, monkeypatch):
    _, steps, seen = ran(backbone, replace(settings, noise=0.5), monkeypatch)
    assert len(set(steps)) == 1 and len(steps) == passes
    step = torch.tensor(steps[:1])
    share = backbone.schedule.add_noise(torch.zeros(1), torch.ones(1), step)
    assert abs(float(share) - 0.5) < 0.01
    assert not torch.equal(seen.attention, observe(backbone, PICTURE, replace(settings, noise=0.1), seed=1).attention)


def test_noise_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"noise is a share of noise in the picture, 0\.\.1, got -0\.1"):
        replace(PAPER, noise=-0.1)
