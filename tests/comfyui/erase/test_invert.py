"""Invert Picture and ComfyUI's own samplers, with small random-weight models."""

import pytest
import torch

FAMILIES = ("lab", "sd15", "sd2", "sdxl")
STEPS = 10


@pytest.fixture
def picture():
    return torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_stock_samplers_draw_what_the_node_shows(parts_of, run, stock, picture, family):
    parts = parts_of(family)
    latent, noise, shown = run("InvertPicture", **parts, image=picture, prompt="a cat", steps=STEPS, passes=2)
    text = stock("CLIPTextEncode", clip=parts["clip"], text="a cat")[0]
    given = {"model": parts["model"], "positive": text, "negative": text, "latent_image": latent}
    settings = {"noise_seed": 0, "steps": STEPS, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal"}
    settings |= {"start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable"}
    drawn = stock("KSamplerAdvanced", **given, **settings, add_noise="disable")[0]
    seen = stock("VAEDecode", samples=drawn, vae=parts["vae"])[0]
    torch.testing.assert_close(seen, shown, rtol=0, atol=0.03)
    empty = {"samples": torch.zeros_like(latent["samples"])}
    import comfy.samplers

    guider = comfy.samplers.CFGGuider(parts["model"])
    guider.set_conds(text, text)
    guider.set_cfg(1.0)
    levels = comfy.samplers.calculate_sigmas(parts["model"].get_model_object("model_sampling"), "normal", STEPS)
    with torch.inference_mode():
        again = guider.sample(
            noise.generate_noise(empty), empty["samples"], comfy.samplers.sampler_object("euler"), levels
        )
    torch.testing.assert_close(again, drawn["samples"], rtol=1e-2, atol=1e-2)


def test_flows_are_drawn_from_the_latent_and_from_the_noise(pack, stock):
    """LATENT from a later step on, NOISE from the first, on a lab transformer as ComfyUI's FLUX.1 class."""
    import comfy.sample
    import comfy.samplers

    lab, jobs = pack("lab.model.transformer"), pack("host.jobs.erase.inverting")
    small = {"num_layers": 1, "num_single_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2}
    config = {**lab.TRANSFORMER_CONFIG, **small, "axes_dims_rope": (4, 6, 6)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        transformer = lab.build_transformer(config).eval().requires_grad_(False)
        for parameter in transformer.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.03)
    native = pack("lab.model.comfy_native").native_transformer(
        pack("lab.model.convert").transformer_to_flux(transformer.state_dict()), config
    )
    backbone = pack("host.adapters").backbone_of(native)
    text = [[torch.randn(1, 77, 192, generator=torch.Generator().manual_seed(1)), {}]]
    clean = torch.randn(1, 4, 6, 5, generator=torch.Generator().manual_seed(2))
    core = pack("core.inversion")
    trajectory = core.Trajectory(backbone, pack("core.backbone").Conditioning(text[0][0]))
    for start in (0, 1):
        levels = pack("host.adapters").noise_levels_of(native, "simple", STEPS)[start:]
        found = core.invert(trajectory, clean, levels, passes=6)
        latent = pack("host.adapters").latent_of(native, jobs._held(trajectory, found))
        empty = {"samples": torch.zeros_like(clean)}
        noise = pack("host.shared.noise").GivenNoise(jobs._noise(trajectory, found)).generate_noise(empty)
        sampler = comfy.samplers.sampler_object("euler")
        with torch.inference_mode():
            drawn = comfy.sample.sample_custom(native, noise, 1.0, sampler, levels, text, text, empty["samples"])
        torch.testing.assert_close(native.model.process_latent_in(drawn), found.returned, rtol=1e-2, atol=1e-2)
        if start:
            with torch.inference_mode():
                nothing = torch.zeros_like(clean)
                other = comfy.sample.sample_custom(native, nothing, 1.0, sampler, levels, text, text, latent["samples"])
            torch.testing.assert_close(other, drawn, rtol=1e-2, atol=1e-2)
