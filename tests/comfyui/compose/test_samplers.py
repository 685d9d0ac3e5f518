"""Compose Concepts on ComfyUI's samplers and guiders of every kind, and the places that a run found."""

import pytest
import torch

PROMPT = "a cat and a rocket"
SAMPLERS = ("euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "uni_pc")
"""Ancestral, of second order, multi-step, stochastic, and one that predicts and corrects."""
METHODS = ("attention_couple", "localized_refinement", "concept_conductor")


def check_drawn(draw, composed, model, prompt):
    """A composed MODEL and CONDITIONING draw another picture than the prompt alone, and the same one again."""
    first = draw(*composed)
    assert bool(torch.isfinite(first).all()) and not torch.allclose(first, draw(model, prompt), atol=1e-4)
    assert torch.equal(draw(*composed), first)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_of_every_kind_draw_the_composition(parts_of, compose, sample, encode, method, name):
    parts = parts_of("sd15")
    check_drawn(
        lambda model, text: sample(parts, model, text, sampler_name=name, batch=1),
        compose(parts, method=method)[:2],
        parts["model"],
        encode(parts, PROMPT),
    )


@pytest.fixture
def custom(comfyui):
    """What SamplerCustomAdvanced makes of an empty latent by one of its guiders; ``texts`` come before its numbers."""
    from comfy_extras import nodes_custom_sampler as nodes

    def go(guider, model, texts, *numbers):
        def first(node, *args):
            made = node().execute(*args)
            return (made.args if hasattr(made, "args") else made)[0]

        sigmas = first(nodes.BasicScheduler, model, "normal", 2, 1.0)
        given = first(nodes.RandomNoise, 5), first(getattr(nodes, guider), model, *texts, *numbers)
        latent = {"samples": torch.zeros(1, 4, 8, 12)}
        with torch.inference_mode():
            sampler = first(nodes.KSamplerSelect, "euler")
            return first(nodes.SamplerCustomAdvanced, *given, sampler, sigmas, latent)["samples"]

    return go


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("guider", "others", "numbers"),
    [
        ("BasicGuider", (), ()),
        ("DualCFGGuider", ("a dog", ""), (3.0, 2.0, "regular")),
        ("DualCFGGuider", ("a dog", ""), (3.0, 2.0, "nested")),
    ],
    ids=["basic", "dual", "nested"],
)
def test_guiders_of_every_kind_draw_the_composition(parts_of, compose, encode, custom, method, guider, others, numbers):
    parts = parts_of("sd15")
    rest = [encode(parts, text) for text in others]
    check_drawn(
        lambda model, text: custom(guider, model, [text, *rest], *numbers),
        compose(parts, method=method)[:2],
        parts["model"],
        encode(parts, PROMPT),
    )


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_found_places_are_read_after_sampling(parts_of, compose, sample, run, family):
    parts = parts_of(family)
    model, conditioning, before, _ = compose(parts, places="found\nright")
    assert not bool(before[0].any()) and bool(before[1].any())
    latents = [{"samples": sample(parts, model, conditioning, steps=4, seed=seed)} for seed in (5, 6)]
    found = [run("ReadFoundRegions", model=model, samples=latent, picture=1)[0] for latent in latents]
    size = tuple(8 * side for side in latents[0]["samples"].shape[-2:])
    assert found[0].shape == (2, *size) and not torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1]) and float(found[0][1][:, -16:].min()) > 0.9
    assert torch.equal(run("ReadFoundRegions", model=model, samples=latents[0], picture=1)[0], found[0])
    captured, _ = run("CaptureAttention", model=model, least_grid=1, stages="all")
    assert torch.equal(run("ReadFoundRegions", model=captured, samples=latents[0], picture=1)[0], found[0])
    with pytest.raises(ValueError, match="this MODEL composes nothing"):
        run("ReadFoundRegions", model=parts["model"], samples=latents[0])
