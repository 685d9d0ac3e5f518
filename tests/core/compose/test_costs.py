"""What composing costs, as it is told before sampling."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.compose.composer import share_of
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.registry import METHODS

PROMPT = "a cat and a rocket"
LEFT = torch.zeros(8, 8)
LEFT[:, :4] = 1
GUIDED, CONDUCTOR = METHODS["lora_composer"], METHODS["concept_conductor"]


def composed(backbone, masks=(LEFT, 1 - LEFT), branches=False, **changes):
    concepts = [Concept(text, mask) for text, mask in zip(("a cat", "a rocket"), masks, strict=True)]
    return replace(compose(backbone, PROMPT, concepts, branches=branches), **changes)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_costs(lab_backbone, name):
    composition = composed(lab_backbone, branches="branches" in METHODS[name].needs)
    assert METHODS[name].costs.endswith(".")
    for settings in METHODS[name].presets.values():
        assert settings.cost_of(composition) and settings.left_out(composition) == ""
        assert settings.takes_gradients(composition) is settings.gradients


@pytest.mark.parametrize(
    ("given", "why"), [({"masks": (LEFT, None)}, "a region for every concept"), ({"joint": True}, "UNets only")]
)
def test_guidance_that_cannot_act_is_not_charged_and_is_told(lab_backbone, given, why):
    settings, composition = GUIDED.preset("paper"), composed(lab_backbone, **given)
    assert "gradients" in settings.cost and "first step" in settings.cost
    assert "gradients" not in settings.cost_of(composition) and "first step" not in settings.cost_of(composition)
    assert not settings.takes_gradients(composition) and why in settings.left_out(composition)
    assert GUIDED.begin(composition, settings, share_of(1000)).before is None
    assert GUIDED.preset("small").left_out(composition) == ""


def test_guidance_is_charged_as_long_as_the_method_acts(lab_backbone):
    settings = replace(GUIDED.preset("paper"), end=0.3)
    assert "up to 0.3 of denoising one more pass a step, with gradients" in settings.cost_of(composed(lab_backbone))
    late = replace(settings, start=0.6, end=0.9)
    assert "gradients" not in late.cost and not late.gradients and "first step" not in late.cost


@pytest.mark.parametrize(
    ("name", "off"), [("attend_and_excite", "scale"), ("localized_refinement", "scale"), ("t2i_zero", "strength")]
)
def test_a_method_that_is_turned_off_costs_nothing(lab_backbone, name, off):
    settings = replace(METHODS[name].preset("paper"), **{off: 0.0})
    assert settings.cost_of(composed(lab_backbone)).startswith("nothing")


def test_what_begins_when_places_are_found_is_charged_from_there(lab_backbone):
    found = composed(lab_backbone, (None, None), True)
    for name in ("localized_refinement", "concept_conductor"):
        settings = METHODS[name].preset("paper")
        assert "from 0.2 to" in settings.cost_of(found)
        assert "from 0 to" in settings.cost_of(composed(lab_backbone, branches=True))
    late = replace(CONDUCTOR.preset("paper"), find_until=0.35)
    assert "gradients" not in late.cost_of(found) and not late.takes_gradients(found)


def test_a_reference_takes_two_more_passes_of_each_step_that_is_aligned(lab_backbone, monkeypatch):
    settings, passes = replace(CONDUCTOR.preset("paper"), refine_until=0.0), []
    predict = lab_backbone.predict_noise
    monkeypatch.setattr(lab_backbone, "predict_noise", lambda *given: passes.append(given) or predict(*given))
    counts, latent = [], torch.randn(1, 4, 8, 8)
    free = composed(lab_backbone, branches=True)
    led = replace(free, reference=torch.randn(1, 4, 8, 8))
    for composition in (free, led):
        passes.clear()
        CONDUCTOR.begin(composition, settings, share_of(1000)).before(lab_backbone, latent, torch.tensor([900]))
        counts.append(len(passes))
    assert counts == [3 + 2, 3 + 2 + 2]  # of the prompt and both concepts in part, of both in full; of the reference
    said = "one whole pass and most of another for the reference"
    assert said in settings.cost_of(led) and said not in settings.cost_of(free)


def test_shapes_of_masks_are_charged_in_their_span(lab_backbone):
    composition, settings = composed(lab_backbone, branches=True), CONDUCTOR.preset("paper")
    assert "from 0.25 to 0.4, most of a pass more each time that masks take shapes" in settings.cost_of(composition)
    assert "shapes" not in replace(settings, end=0.2).cost_of(composition)


def test_a_style_has_no_pass(lab_backbone):
    style = composed(lab_backbone, (LEFT, torch.ones(8, 8)), True)
    assert "one more pass for the concept" in CONDUCTOR.preset("paper").cost_of(style)
    nothing = replace(style, regions=(replace(style.regions[0], weight=0.0), style.regions[1]))
    assert CONDUCTOR.preset("paper").cost_of(nothing).startswith("nothing")


@pytest.mark.parametrize("name", ["attention_couple", "lora_composer"])
def test_places_that_are_found_after_the_method_ends_are_said_to_do_nothing(lab_backbone, name):
    settings = replace(METHODS[name].preset("small"), end=0.4, find_until=0.5)
    found, given = composed(lab_backbone, (None, None)), composed(lab_backbone)
    assert "nothing else" in settings.cost_of(found) and "Lower find_until, raise end" in settings.left_out(found)
    assert settings.left_out(given) == "" and "one more reading" in settings.cost_of(given)
    sooner = replace(settings, find_until=0.3)
    assert sooner.left_out(found) == "" and "one more reading" in sooner.cost_of(found)
