import math

import pytest
import torch

from concept_atelier.core.attention.probabilities import attend
from concept_atelier.core.backbone import AttentionCall, AttentionInputs, AttentionSite
from concept_atelier.core.erase.guards.guard import slope_of
from concept_atelier.core.explain.attenuation import BINS, Posterior, Posteriors
from concept_atelier.core.explain.bank import ConceptBank
from concept_atelier.core.explain.parts.changed_attention import recorded_rows
from concept_atelier.core.explain.recording import default_site, noised_latents, origin_of, read_site
from concept_atelier.core.explain.steering import ReplaceRun, Steering
from concept_atelier.core.schedule import timestep_of_noise
from tests.core.explain.conftest import origin

PEAK, STRENGTH, NOISE = 2.0, 1.5, 0.1
LEVEL, WIDTH = torch.tensor(3.0), 128


def steering(at, how, **changes):
    """With one ingredient: the first number of a position's queries."""
    ones = torch.ones(1)
    frame = torch.zeros(at.width), torch.ones(at.width)
    bank = ConceptBank(torch.eye(1, at.width), ("one",), "pca", at, *frame, PEAK * ones, ones, ones)
    return Steering(bank, (0,), how, **({"empty": None, "instead": None} | changes))


def always(share):
    """A posterior that is the same for every code."""
    return Posteriors((NOISE,), (Posterior(torch.full((1, BINS + 1), share), torch.ones(1)),))


@pytest.fixture
def inputs(generator):
    """A layer of 16 positions with 2 heads of 4 numbers."""
    query, key, value = (torch.randn(1, 2, 16, 4, generator=generator) for _ in range(3))
    site = AttentionSite("here", "self", None, 2, 1)
    return AttentionInputs(AttentionCall(site, query, key, 0.5, (4, 4), (True,)), value)


def edited(inputs, how, **changes):
    at = origin(kind="denoiser", site="here", width=16)
    return steering(at, how, **({"most_change": math.inf} | changes)).begin(None, None).edit(inputs)


def with_first(inputs, change):
    """The layer's output with another first number of all its queries."""
    call = inputs.call
    query = call.query.clone()
    query[:, 0, :, 0] = change(query[:, 0, :, 0])
    return attend(query, call.key, inputs.value, call.scale)


def test_attenuating_takes_all_of_a_surely_meant_code_and_nothing_of_a_surely_other(inputs):
    surely, never, half = (edited(inputs, "attenuate", posteriors=always(share)) for share in (1.0, 0.0, 0.5))
    torch.testing.assert_close(surely, with_first(inputs, lambda first: first.clamp(max=0)))  # its codes are 0
    assert torch.equal(never, with_first(inputs, lambda first: first))
    torch.testing.assert_close(half, with_first(inputs, lambda first: first - first.clamp(min=0) / 2))


def test_adding_raises_the_code_by_so_many_peaks(inputs):
    found = edited(inputs, "add", strength=STRENGTH)
    torch.testing.assert_close(found, with_first(inputs, lambda first: first + STRENGTH * PEAK))


def test_no_position_changes_by_more_than_a_share_of_its_length(inputs):
    """Far above the bound, what is added to queries is half of each position's length."""
    found = edited(inputs, "add", strength=1e6, most_change=0.5)
    lengths = recorded_rows(inputs).norm(dim=-1)  # (1, 16)
    torch.testing.assert_close(found, with_first(inputs, lambda first: first + lengths / 2))


class Told(ReplaceRun):
    """Finds an ingredient at the cells that it is told, one set for each step."""

    def _cells(self, clean):
        return self.told.pop(0)


def replacing_run(kind, backbone, **changes):
    empty, dog = backbone.encode_text([""]), backbone.encode_text(["dog"])
    steers = steering(
        origin_of(backbone, default_site(backbone), WIDTH, NOISE),
        "replace",
        empty=empty,
        instead=dog,
        seed=1,
        **changes,
    )
    return kind(steers, steers.begin(backbone, backbone).task)


@pytest.fixture
def replacing(lab_backbone, generator):
    """A run that is told of the left half and then of nothing, latents (1, 4, 8, 8) and their slope."""
    run, left = replacing_run(Told, lab_backbone), torch.zeros(1, 1, 8, 8)
    left[..., :4] = 1
    run.told = [left, torch.zeros_like(left)]
    return run, *torch.randn(2, 1, 4, 8, 8, generator=generator)


def test_only_what_is_drawn_at_found_cells_is_replaced_and_those_stay_found(replacing, lab_backbone):
    run, latent, slope = replacing
    empty, dog = (slope_of(lab_backbone, text, latent, LEVEL) for text in (run.steering.empty, run.steering.instead))
    for _ in range(2):  # in the second step nothing is found
        found = run.corrected(slope, latent, LEVEL, 2.0)
        torch.testing.assert_close(found[..., :4], (empty + 2 * (dog - empty))[..., :4])
        assert torch.equal(found[..., 4:], slope[..., 4:])


def test_newly_found_cells_and_no_others_begin_the_next_step_as_noise_around_the_rest(replacing):
    run, latent, slope = replacing
    assert torch.equal(run.perturbed(latent, LEVEL), latent)  # before anything was found
    run.corrected(slope, latent, LEVEL, 2.0)
    renewed = run.perturbed(latent, LEVEL)
    assert torch.equal(renewed[..., 4:], latent[..., 4:])
    mean = (latent - LEVEL * slope)[..., 4:].mean((2, 3), keepdim=True)
    noise = ((renewed - mean) / LEVEL)[..., :4]
    assert abs(float(noise.mean())) < 0.25 and 0.8 < float(noise.std()) < 1.2
    assert abs(float(torch.corrcoef(torch.stack([noise.flatten(), latent[..., :4].flatten()]))[0, 1])) < 0.3
    run.corrected(slope, latent, LEVEL, 2.0)
    assert torch.equal(run.perturbed(latent, LEVEL), latent)  # nothing new


@pytest.mark.parametrize("text", ["", "a cat"])
def test_an_ingredient_is_found_where_its_code_is_large_and_not_everywhere(lab_backbone, generator, text):
    """Read under the text under which the bank's pictures were recorded."""
    clean, time = torch.randn(1, 4, 16, 16, generator=generator), timestep_of_noise(lab_backbone.schedule, NOISE)
    recorded, site = lab_backbone.encode_text([text]), default_site(lab_backbone)
    rows, grid = read_site(lab_backbone, site, noised_latents(lab_backbone, clean, time, 1), time, recorded)
    codes = rows[0, :, 0]
    top, left = (2 * place for place in divmod(int(codes.argmax()), grid[1]))  # in cells of latents
    threshold = 0.8 * float(codes.max()) / PEAK
    run = replacing_run(ReplaceRun, lab_backbone, threshold=threshold, recorded=recorded if text else None)
    found = run._cells(clean)[0, 0]
    assert bool((found[top : top + 2, left : left + 2] == 1).all()) and 0 < float(found.mean()) < 0.3
