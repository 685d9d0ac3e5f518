"""Compose Concepts on ComfyUI's own samplers, with small random-weight models."""

import importlib

import pytest
import torch

PROMPT = "a cat and a rocket"
METHODS = (
    "lora_composer",
    "attention_couple",
    "t2i_zero",
    "attend_and_excite",
    "localized_refinement",
    "concept_conductor",
)

FAMILIES = ("lab", "sd15", "sd2", "sdxl")


@pytest.mark.parametrize("family", FAMILIES)
def test_any_sampler_draws_the_composition_and_the_model_stays_as_it_was(parts_of, compose, sample, encode, family):
    parts = parts_of(family)
    plain = sample(parts, parts["model"], encode(parts, PROMPT))
    model, conditioning, *_ = compose(parts)
    first = sample(parts, model, conditioning)
    assert bool(torch.isfinite(first).all()) and not torch.allclose(first, plain, atol=1e-4)
    assert torch.equal(sample(parts, model, conditioning), first)
    assert torch.equal(sample(parts, parts["model"], encode(parts, PROMPT)), plain)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_outside_its_span_the_prompt_is_drawn(parts_of, compose, sample, encode, method, cfg):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts, method=method, settings="start=0.4, end=0.41")
    plain = sample(parts, parts["model"], encode(parts, PROMPT), cfg=cfg)
    torch.testing.assert_close(sample(parts, model, conditioning, cfg=cfg), plain, rtol=1e-3, atol=1e-3)


MOVING = {
    "attend_and_excite": "",
    "localized_refinement": "",
    "lora_composer": "guidance=20, renew=true",
    "concept_conductor": "",
}


@pytest.mark.parametrize("method", MOVING)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_latent_moves_by_gradients_in_inference_mode(parts_of, compose, sample, encode, family, method):
    """As a workflow runs: nodes are executed in inference mode."""
    parts = parts_of(family)
    with torch.inference_mode():
        plain = sample(parts, parts["model"], encode(parts, PROMPT))
        model, conditioning, *_ = compose(parts, method=method, settings=MOVING[method])
        still = {"lora_composer": "guidance=0", "concept_conductor": "layout=0"}.get(method, "scale=0")
        held, *_ = compose(parts, method=method, settings=still)
        first = sample(parts, model, conditioning)
        assert bool(torch.isfinite(first).all())
        assert not torch.equal(first, sample(parts, held, conditioning))
        assert torch.equal(sample(parts, model, conditioning), first)
        assert torch.equal(sample(parts, parts["model"], encode(parts, PROMPT)), plain)


@pytest.mark.parametrize("method", ["attend_and_excite", "localized_refinement", "t2i_zero"])
def test_a_method_of_the_prompts_words_that_does_nothing_leaves_every_bit(parts_of, compose, sample, encode, method):
    parts = parts_of("sd15")
    plain = sample(parts, parts["model"], encode(parts, PROMPT))
    still = "strength=0" if method == "t2i_zero" else "scale=0"
    model, conditioning, *_ = compose(parts, method=method, settings=still)
    assert torch.equal(sample(parts, model, conditioning), plain)
    model, conditioning, *_ = compose(parts, method=method, places="left weight=0\nright weight=0")
    assert torch.equal(sample(parts, model, conditioning), plain)


def test_a_method_that_moves_the_latent_refuses_a_noise_mask(parts_of, compose, sample):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts, method="attend_and_excite")
    latent = {"samples": torch.zeros(2, 4, 8, 12), "noise_mask": torch.ones(1, 64, 96)}
    with pytest.raises(ValueError, match="moves the latent"):
        sample(parts, model, conditioning, latent_image=latent)


def test_places_are_found_by_words(parts_of, compose, sample):
    parts = parts_of("lab")
    model, conditioning, *_ = compose(parts, places="")
    first = sample(parts, model, conditioning, steps=4)
    assert torch.equal(sample(parts, model, conditioning, steps=4), first)


def test_it_draws_the_same_as_the_headless_sampler(parts_of, compose, sample, encode, pack):
    """The lab model's UNet is diffusers' there and ComfyUI's here."""
    parts = parts_of("lab")
    model, conditioning, *_ = compose(parts)
    here = sample(parts, model, conditioning, steps=3)
    handles = pack("lab.model.handles").load_handles()
    composing = pack("host.jobs.compose.composing")
    composition = composing.composition_of(handles[1], PROMPT, ["a cat", "a rocket"], ["left", "right"], None, {})
    composer = pack("core.compose.registry").METHODS["lora_composer"]
    composed = pack("host.shared.compositions").Composed(composition, composer, composer.preset("small"))
    text = pack("host.shared.conditioning").to_comfy
    empty = text(pack("host.adapters").DiffusersBackbone(clip=handles[1]).encode_text([""]))
    there = pack("host.headless.sampling").sample(
        handles[0].with_composition(composed),
        text(composition.conditioning),
        empty,
        {"samples": torch.zeros(2, 4, 8, 12)},
        seed=5,
        steps=3,
        cfg=3.0,
    )["samples"]
    torch.testing.assert_close(here, there, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_each_concept_is_drawn_in_a_pass_of_its_own(parts_of, compose, sample, family):
    """Shapes are refined in the second step of three; a reference leads the layout of the first."""
    parts, settings = parts_of(family), "refine_from=0.2, refine_until=0.6"
    given = {"method": "concept_conductor", "settings": settings}
    reference = {"samples": torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(1))}
    free, text, *_ = compose(parts, **given)
    led, *_ = compose(parts, **given, reference=reference)
    one, other = (sample(parts, model, text, steps=3) for model in (free, led))
    assert bool(torch.isfinite(one).all()) and not torch.equal(one, other)
    assert torch.equal(sample(parts, led, text, steps=3), other)


def test_another_conditioning_is_refused(parts_of, compose, sample, encode):
    parts = parts_of("sd15")
    model, *_ = compose(parts)
    with pytest.raises(ValueError, match="another positive CONDITIONING"):
        sample(parts, model, encode(parts, "a dog"))


def test_areas_are_refused(parts_of, compose, sample, stock):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts)
    area = stock("ConditioningSetArea", conditioning=conditioning, width=64, height=64, x=0, y=0, strength=1.0)[0]
    with pytest.raises(ValueError, match="areas or tiles"):
        sample(parts, model, area)


def test_a_call_that_stacks_pictures_otherwise_is_refused(parts_of, compose, sample):
    """As nodes do that cut the latent into tiles and give the model all of them at once."""

    def stacked(apply_model, given):
        tensors = {name: value for name, value in given["c"].items() if torch.is_tensor(value)}
        twice = {name: torch.cat([value, value]) for name, value in tensors.items()}
        x, time = given["input"], given["timestep"]
        return apply_model(torch.cat([x, x]), torch.cat([time, time]), **{**given["c"], **twice})[: len(x)]

    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts)
    model.set_model_unet_function_wrapper(stacked)
    with pytest.raises(ValueError, match="Compose Concepts cannot tell which of them read its text"):
        sample(parts, model, conditioning)


def test_capture_and_composition_go_together(parts_of, compose, sample, run):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts)
    plain = sample(parts, model, conditioning)
    captured, recorded_maps = run("CaptureAttention", model=model, least_grid=1, stages="all")
    assert torch.equal(sample(parts, captured, conditioning), plain)
    assert recorded_maps.maps().cross


def test_boxes_go_to_and_fro_between_compose_concepts_and_stock_nodes(parts_of, compose, comfyui):
    images = importlib.import_module("comfy_extras.nodes_images")
    parts, size = parts_of("lab"), {"width": 128, "height": 64}
    (one,) = images.BoundingBox.execute(x=32, y=16, width=64, height=32).args
    given = {"concepts": "a cat", "places": "", "method": "attention_couple"}
    *_, regions, boxes = compose(parts, bounding_boxes=one, **size, **given)
    assert float(regions[0, 16:48, 16:48].min()) == 1 and float(regions.sum()) == 32 * 32
    assert [{side: box[side] for side in one} for box in boxes[0]] == [one]
    try:
        drawing = importlib.import_module("comfy_extras.nodes_bounding_boxes")
    except ImportError:  # before ComfyUI 0.33
        return
    _, drawn, elements = drawing.CreateBoundingBoxes.execute(bboxes=boxes, **size).args
    assert elements == [{"type": "obj", "bbox": [250, 250, 750, 750], "desc": "a cat"}]
    assert torch.equal(compose(parts, bounding_boxes=drawn, **size, **given)[2], regions)
