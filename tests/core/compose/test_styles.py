"""A style, whose region is the whole picture, beside things in places of their own: every method draws the things as it
does without listing the style, which the prompt says."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import AttentionCall, AttentionInputs, AttentionSite
from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose, things_among
from concept_atelier.core.compose.parts.places import Places
from concept_atelier.core.compose.parts.region_guidance import RegionGuidance
from concept_atelier.core.compose.registry import METHODS
from concept_atelier.core.types import LowRank

PROMPT = "a cat and a rocket in watercolour"
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
CAT, ROCKET = Concept("a cat", LEFT), Concept("a rocket", 1 - LEFT)
STYLE = Concept("in watercolour", torch.ones(8, 8))


def begun(backbone, name, concepts, **settings):
    """A composition and its run."""
    composer = METHODS[name]
    branches = "branches" in composer.needs
    composition = compose(backbone, PROMPT, concepts, texts=branches or "texts" in composer.needs, branches=branches)
    chosen = replace(composer.preset("paper"), **settings)
    return composition, composer.begin(composition, chosen, share_of(backbone.schedule.steps))


def test_regions_of_the_whole_picture_are_styles_unless_all_are():
    whole = torch.full((4, 4), 0.5)
    assert things_among([LEFT, whole, None]) == (0, 2)
    assert things_among([whole]) == (0,) and things_among([whole, whole]) == (0, 1)


@pytest.mark.parametrize("form", ["ratio", "mse"])
def test_localized_refinement_leads_the_words_of_things_alone(lab_backbone, form):
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([900])
    without, with_style = (
        begun(lab_backbone, "localized_refinement", concepts, form=form)[1].before(lab_backbone, latent, time)
        for concepts in ([CAT, ROCKET], [CAT, STYLE, ROCKET])
    )
    assert not torch.equal(without, latent) and torch.equal(without, with_style)


@pytest.mark.parametrize("place", [0, 2])
def test_in_concept_conductor_a_style_is_in_every_branch_and_has_none(lab_backbone, place):
    listed = [CAT, ROCKET]
    listed.insert(place, STYLE)
    latent, time = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([700])
    drawn = []
    for concepts in ([CAT, ROCKET], listed):
        composition, run = begun(lab_backbone, "concept_conductor", concepts, refine_from=0.1)
        with torch.no_grad():
            moved = run.before(lab_backbone, latent, time)
            with lab_backbone.edit_attention(run.edit):
                drawn.append(lab_backbone.predict_noise(moved, time, composition.conditioning))
    branch = lab_backbone.encode_text(["a rocket and a rocket in watercolour"]).context
    rocket = next(region for region in composition.regions if region.text == "a rocket")
    torch.testing.assert_close(composition.conditioning.context[:, rocket.columns], branch)
    assert torch.equal(*drawn)


def test_a_lora_of_a_style_that_has_no_branch_is_refused(lab_backbone):
    change = {"layer": LowRank(torch.ones(2, 1), torch.ones(1, 2))}
    with pytest.raises(ValueError, match="load that LoRA into the model before"):
        compose(lab_backbone, PROMPT, [CAT, replace(STYLE, layers=change)], branches=True)
    assert compose(lab_backbone, PROMPT, [CAT, replace(STYLE, layers=change)]).layers == ("layer",)


@pytest.mark.parametrize("given", [STYLE, replace(ROCKET, text="a rocket")])
def test_a_place_that_is_given_takes_no_cells_from_one_that_is_found(lab_backbone, generator, given):
    site = AttentionSite("layer", "cross", None, 2, 1)
    query, key, value = (torch.randn(1, 2, n, 8, generator=generator) for n in (64, 77, 77))
    layer = AttentionInputs(AttentionCall(site, query, key, 0.9, (8, 8), (True,)), value)
    found = []
    for concepts in ([Concept("a cat")], [Concept("a cat"), given]):
        places = Places(compose(lab_backbone, PROMPT, concepts, texts=False), until=0.5, threshold=0.1)
        places.read(layer)
        found.append(places.on((8, 8))[0])
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[1][1], given.mask)


def test_the_words_of_a_style_do_not_compete_for_cells(lab_backbone, generator):
    site = AttentionSite("layer", "cross", None, 2, 1)
    query, key, value = (torch.randn(1, 2, n, 8, generator=generator) for n in (64, 77, 77))
    layer = AttentionInputs(AttentionCall(site, query, key, 0.9, (8, 8), (True,), timestep=500.0), value)
    outputs = [
        begun(lab_backbone, "t2i_zero", concepts)[1].edit(layer)
        for concepts in ([CAT, ROCKET], [STYLE, CAT, ROCKET], [CAT, STYLE])
    ]
    assert torch.equal(outputs[0], outputs[1]) and outputs[2] is None


def test_guidance_reads_and_leads_things_alone(lab_backbone, generator):
    composition, run = begun(lab_backbone, "lora_composer", [CAT, STYLE, ROCKET])
    guidance = RegionGuidance(composition, METHODS["lora_composer"].preset("paper"), run.edit)
    latent, time = torch.randn(1, 4, 8, 8, generator=generator), torch.tensor([900])
    with torch.no_grad():
        maps, _ = guidance._maps(lab_backbone, latent, time, False)
        assert [one.shape[1] for one in maps] == [len(composition.regions[number].own) for number in (0, 2)]
        assert bool(torch.isfinite(guidance._losses(lab_backbone, latent, time, 0.1)).all())
