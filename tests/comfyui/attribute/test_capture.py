"""Capture Attention and Show Word Heatmap on ComfyUI's own samplers, with small random-weight models."""

import pytest
import torch

TEXT = "a photo of a cat and a hippopotamus"
FAMILIES = ("lab", "sd15", "sd2", "sdxl")
SIZE = (12, 16)


def sums(maps):
    """How far the shares of all tokens are from one, at the worst cell."""
    return max(float((one.sum(1) - 1).abs().max()) for one in maps.cross.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_recorded_and_draws_the_same_to_the_bit(parts_of, capture, sample, show, family):
    parts = parts_of(family)
    model, recorded_maps = capture(parts)
    plain, listened = sample(parts, batch=2), sample(parts, model, batch=2)
    assert torch.equal(plain["samples"], listened["samples"])
    maps = recorded_maps.maps()
    assert sums(maps) < 1e-5 and all(one.shape[:2] == (2, 77) for one in maps.cross.values())
    pictures, masks = show(parts, recorded_maps, listened, words="cat, hippopotamus", normalise="relative")
    assert masks.shape == (4, SIZE[0] * 8, SIZE[1] * 8) and len(pictures) == 4
    assert torch.equal(masks.amax((1, 2)), torch.ones(4)) and not torch.allclose(masks[0], masks[2], atol=1e-2)
    assert torch.equal(sample(parts, batch=2)["samples"], plain["samples"])


@pytest.mark.parametrize(
    "changes",
    [
        {"sampler_name": "dpmpp_2m_sde", "scheduler": "karras", "cfg": 7.0},
        {"sampler_name": "dpmpp_2m_sde", "cfg": 1.0},
        {"sampler_name": "heun", "cfg": 7.0},
        {"sampler_name": "euler_ancestral", "denoise": 0.6},
        {"cfg": 1.0},
    ],
    ids=str,
)
def test_samplers_and_guidance(parts_of, capture, sample, changes):
    parts = parts_of("sd15")
    model, recorded_maps = capture(parts)
    changes = {"steps": 3} | changes
    assert torch.equal(sample(parts, **changes)["samples"], sample(parts, model, **changes)["samples"])
    maps = recorded_maps.maps()
    calls = 5 if changes.get("sampler_name") == "heun" else 3
    assert sums(maps) < 1e-5
    assert all(maps.cross_counts[grid] == calls * layers for grid, layers in maps.cross_layers.items())


def test_guiders_of_custom_sampling(parts_of, capture, encode):
    """A guider without a negative, and one with three conditionings of which the positive is the third."""
    from comfy_extras import nodes_custom_sampler as custom

    parts = parts_of("sd15")
    model, recorded_maps = capture(parts)
    texts = [encode(parts, text) for text in (TEXT, "a dog", "")]
    guider_of = {
        "basic": lambda m: first(custom.BasicGuider, m, texts[0]),
        "dual": lambda m: first(custom.DualCFGGuider, m, texts[0], texts[1], texts[2], 3.0, 2.0, "regular"),
    }
    noise, latent = first(custom.RandomNoise, 3), {"samples": torch.zeros(1, 4, *SIZE)}
    sampler, sigmas = first(custom.KSamplerSelect, "euler"), first(custom.BasicScheduler, model, "normal", 2, 1.0)
    found = {}
    for name, make in guider_of.items():
        with torch.inference_mode():
            plain = first(custom.SamplerCustomAdvanced, noise, make(parts["model"]), sampler, sigmas, latent)
            drawn = first(custom.SamplerCustomAdvanced, noise, make(model), sampler, sigmas, latent)
        assert torch.equal(plain["samples"], drawn["samples"])
        found[name] = recorded_maps.run_of(drawn["samples"])[0]
    for chosen in found.values():
        assert [part.place.height for part in chosen.parts] == [SIZE[0]]
        assert len(chosen.parts_about(texts[0][0][0])) == 1
        assert chosen.parts_about(texts[1][0][0]) == []


def test_the_same_run_twice_gives_the_same_maps(parts_of, capture, sample):
    parts = parts_of("sd15")
    model, recorded_maps = capture(parts)
    sample(parts, model)
    once = recorded_maps.maps()
    sample(parts, model)
    again = recorded_maps.maps()
    assert len(recorded_maps.runs) == 1 and once.cross_counts == again.cross_counts
    assert all(torch.equal(one, again.cross[grid]) for grid, one in once.cross.items())


def test_two_samplers_on_one_captured_model_are_kept_apart(parts_of, capture, sample, show, run, stock):
    """A small picture, and the same upscaled and sampled again."""
    parts = parts_of("sd15")
    model, recorded_maps = capture(parts)
    small = sample(parts, model)
    big = stock("LatentUpscaleBy", samples=small, upscale_method="bilinear", scale_by=1.5)[0]
    large = sample(parts, model, latent=big, denoise=0.5, seed=9)
    assert [run.latent_size for run in recorded_maps.runs] == [SIZE, (18, 24)]
    assert (
        recorded_maps.run_of(small["samples"])[0] is recorded_maps.runs[0]
        and recorded_maps.run_of(large["samples"])[0] is recorded_maps.runs[1]
    )
    first, alone = show(parts, recorded_maps, small)[1], capture(parts)
    again = show(parts, alone[1], sample(parts, alone[0]))[1]
    assert torch.equal(first, again)
    run_, note = recorded_maps.run_of(big["samples"])
    assert run_ is recorded_maps.runs[1] and "those of the last run" in note


def test_a_new_seed_gives_new_maps_and_older_latents_keep_theirs(parts_of, capture, sample, show):
    parts = parts_of("sd15")
    model, recorded_maps = capture(parts)
    one, other = sample(parts, model, seed=1), sample(parts, model, seed=2)
    assert not torch.equal(show(parts, recorded_maps, one)[1], show(parts, recorded_maps, other)[1])
    assert recorded_maps.run_of(one["samples"])[1] == ""
    for seed in range(3, 8):
        sample(parts, model, seed=seed)
    assert len(recorded_maps.runs) == 4


def test_an_interrupted_run_leaves_nothing(parts_of, capture, sample, comfyui, uninterrupted):
    import comfy.model_management as management

    parts = parts_of("sd15")
    plain = sample(parts)["samples"]
    model, recorded_maps = capture(parts)
    stopping = model.clone()

    def stop(apply_model, args):
        apply_model(args["input"], args["timestep"], **args["c"])
        management.interrupt_current_processing(True)
        management.throw_exception_if_processing_interrupted()  # the server's progress hook asks so after each step

    stopping.set_model_unet_function_wrapper(stop)
    options = dict(model.model_options["transformer_options"])
    with pytest.raises(management.InterruptProcessingException):
        sample(parts, stopping, steps=4)
    assert not recorded_maps.runs and model.model_options["transformer_options"] == options
    assert torch.equal(sample(parts)["samples"], plain) and torch.equal(sample(parts, model)["samples"], plain)
    with pytest.raises(ValueError, match="no sampler has finished"):
        capture(parts)[1].run_of(plain)


def test_it_lives_with_overrides_and_replaced_attention(parts_of, capture, sample):
    """An attention override, and a replacement as IPAdapter's: it calls attention itself, twice, without options."""
    from comfy.ldm.modules.attention import optimized_attention

    parts, seen = parts_of("sd15"), []

    def override(function, *args, **kwargs):
        seen.append("override")
        return function(*args, **kwargs)

    def replacement(q, k, v, extra_options):
        seen.append("replacement")
        heads = extra_options["n_heads"]
        return optimized_attention(q, k, v, heads) + 0.1 * optimized_attention(q, k[:, :4], v[:, :4], heads)

    other = parts["model"].clone()
    other.model_options["transformer_options"]["optimized_attention_override"] = override
    other.set_model_attn2_replace(replacement, "input", 1)
    plain, before = sample(parts, other)["samples"], list(seen)
    seen.clear()
    model, recorded_maps = capture({**parts, "model": other})
    assert torch.equal(sample(parts, model)["samples"], plain) and seen == before
    untouched, listened = capture(parts)
    sample(parts, untouched)
    assert recorded_maps.maps().cross_counts == listened.maps().cross_counts and sums(recorded_maps.maps()) < 1e-5


def test_attention_that_changes_its_rows_is_left_out_and_reported(parts_of, capture, sample, show):
    parts = parts_of("sd15")

    def halves(n, context, value, extra_options):
        return n[:, ::2], context, value

    def back(out, extra_options):
        return out.repeat_interleave(2, 1)

    other = parts["model"].clone()
    other.set_model_attn2_patch(halves)
    other.set_model_attn2_output_patch(back)
    model, recorded_maps = capture({**parts, "model": other})
    drawn = sample(parts, model)
    with pytest.raises(ValueError, match="no attention was recorded"):
        show(parts, recorded_maps, drawn)


def test_a_captured_model_can_be_captured_again(parts_of, capture, sample):
    parts = parts_of("sd15")
    model, outer = capture(parts)
    twice, inner = capture({**parts, "model": model})
    drawn = sample(parts, twice)
    assert torch.equal(drawn["samples"], sample(parts)["samples"])
    assert all(torch.equal(one, inner.maps().cross[grid]) for grid, one in outer.maps().cross.items())


def test_only_asked_for_steps_and_grids_are_recorded(parts_of, capture, sample):
    parts = parts_of("sd15")

    def counts(**changes):
        model, recorded_maps = capture(parts, **changes)
        sample(parts, model, steps=4)
        return recorded_maps.maps().cross_counts

    everything = counts()
    half = counts(end_percent=0.5)
    assert set(half) == set(everything) and all(2 * half[grid] == everything[grid] for grid in half)
    assert set(counts(greatest_grid=8)) == {(6, 8)}


def first(node, *args):
    """The first output of a node class of custom sampling, which is V1 in the older ComfyUI and V3 in the newer."""
    call = node.execute if hasattr(node, "execute") else getattr(node(), node.FUNCTION)
    result = call(*args)
    return getattr(result, "result", result)[0]
