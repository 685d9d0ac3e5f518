"""The method area of Compose Concepts, against ComfyUI's own nodes for areas."""

import pytest
import torch

PROMPT = "a cat and a rocket"
SIZES = {"width": 0.5, "height": 1.0, "y": 0.0}


@pytest.fixture
def combined(stock, encode):
    """What stock nodes make of the prompt and further conditionings."""

    def go(parts, *areas):
        found = encode(parts, PROMPT)
        for area in areas:
            found = stock("ConditioningCombine", conditioning_1=found, conditioning_2=area)[0]
        return found

    return go


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_it_draws_what_the_stock_nodes_draw(parts_of, compose, sample, encode, stock, combined, family):
    parts = parts_of(family)
    model, conditioning, *_ = compose(parts, method="area", places="left\nright weight=0.5")
    assert model is parts["model"]
    cat, rocket = encode(parts, "a cat"), encode(parts, "a rocket")
    left = stock("ConditioningSetAreaPercentage", conditioning=cat, x=0.0, strength=1.0, **SIZES)[0]
    right = stock("ConditioningSetAreaPercentage", conditioning=rocket, x=0.5, strength=0.5, **SIZES)[0]
    drawn = sample(parts, model, conditioning)
    assert torch.equal(drawn, sample(parts, parts["model"], combined(parts, left, right)))
    pixels = stock("ConditioningSetArea", conditioning=cat, width=48, height=64, x=0, y=0, strength=1.0)[0]
    assert torch.equal(drawn, sample(parts, parts["model"], combined(parts, pixels, right)))
    assert not torch.allclose(drawn, sample(parts, parts["model"], encode(parts, PROMPT)), atol=1e-3)


def test_masks_and_times_are_those_of_the_stock_nodes(parts_of, compose, sample, encode, stock, combined):
    parts = parts_of("sd15")
    masks = torch.rand(2, 16, 24, generator=torch.Generator().manual_seed(0))
    model, conditioning, *_ = compose(parts, method="area", regions=masks, places="left end=0.5\nright weight=0.5")
    cat, rocket = encode(parts, "a cat"), encode(parts, "a rocket")
    given = {"set_cond_area": "default"}
    first = stock("ConditioningSetMask", conditioning=cat, mask=masks[0], strength=1.0, **given)[0]
    first = stock("ConditioningSetTimestepRange", conditioning=first, start=0.0, end=0.5)[0]
    second = stock("ConditioningSetMask", conditioning=rocket, mask=masks[1], strength=0.5, **given)[0]
    drawn, by_stock = (sample(parts, model, text, steps=3) for text in (conditioning, combined(parts, first, second)))
    assert torch.equal(drawn, by_stock)


def test_plain_draws_the_prompt_alone(parts_of, compose, sample, encode):
    parts = parts_of("sd15")
    model, conditioning, *_ = compose(parts, method="plain")
    assert model is parts["model"]
    assert torch.equal(sample(parts, model, conditioning), sample(parts, model, encode(parts, PROMPT)))


def test_the_headless_sampler_draws_the_same(parts_of, compose, sample, encode, pack):
    """Guidance and areas of unequal sizes, one of them with a mask."""
    parts, places = parts_of("lab"), "0 0 0.7 1\nright"
    here, conditioning, *_ = compose(parts, method="area", places=places)
    drawn = sample(parts, here, conditioning, steps=3)
    handles = pack("lab.model.handles").load_handles()
    composing = pack("host.jobs.compose.composing")
    composer = pack("core.compose.registry").METHODS["area"]
    texts = PROMPT, ["a cat", "a rocket"], places.splitlines()
    composition = composing.composition_of(handles[1], *texts, None, {}, composer.needs)
    given = handles[0], composition, composer, composer.preset("small")
    model, positive = composing.composed_parts(*given)
    negative = pack("host.adapters").encode_prompt(handles[1], "", {})
    latent = {"samples": torch.zeros(2, 4, 8, 12)}
    there = pack("host.headless.sampling").sample(model, positive, negative, latent, seed=5, steps=3, cfg=3.0)
    torch.testing.assert_close(drawn, there["samples"], rtol=1e-3, atol=2e-3)


def test_areas_lie_in_every_frame_of_films(pack, small, stock, sample_transformer):
    """The latents of Qwen-Image have a side more, which the percentages of an area then count, too."""
    if not small.here("qwen_image"):
        pytest.skip("this ComfyUI has no Qwen-Image")
    with torch.inference_mode():
        model = small.build("qwen_image")
    assert pack("host.adapters").has_frames(model)
    areas, conditioning = pack("core.compose.parts.areas"), pack("host.shared.conditioning")
    prompt, own = (small.conditioning("qwen_image", 5, seed) for seed in (1, 3))
    read = [conditioning.from_comfy(entries) for entries in (prompt, own)]
    box = areas.Area(read[1], (0.5, 0.0, 1.0, 1.0))
    entries = pack("host.shared.area_conditioning").area_entries(read[0], [box], True)
    area = stock("ConditioningSetArea", conditioning=own, width=48, height=64, x=48, y=0, strength=1.0)[0]
    drawn, by_stock = (sample_transformer("qwen_image", model, text) for text in (entries, prompt + area))
    assert torch.equal(drawn, by_stock)
    assert not torch.equal(drawn, sample_transformer("qwen_image", model, prompt))
