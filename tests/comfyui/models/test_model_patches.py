"""MODELs that stock nodes have changed, before Localize, Capture and Learn: they work, or are refused by name."""

import pytest
import torch

SIZE = (8, 12)
SAMPLING = [(name, zsnr) for name in ("eps", "v_prediction", "lcm", "x0") for zsnr in (False, True)]


@pytest.fixture
def changed(comfyui):
    """MODEL behind a stock node that changes it, by the node's module and class."""

    def go(model, module, name, *given, **settings):
        import importlib

        with torch.inference_mode():
            node = getattr(importlib.import_module(f"comfy_extras.{module}"), name)
            made = node.execute(model, *given, **settings) if hasattr(node, "execute") else None
            return made.result[0] if made is not None else node().patch(model, *given, **settings)[0]

    return go


@pytest.fixture
def rule(changed, parts_of, pack):
    """The noise levels of the lab model behind a node of ``nodes_model_advanced``."""

    def go(name, **settings):
        model = changed(parts_of("lab")["model"], "nodes_model_advanced", name, **settings)
        return pack("host.comfy.noise").NoiseLevels(model.get_model_object("model_sampling"))

    return go


@pytest.fixture
def scene(pack):
    return torch.tensor(pack("lab.world.scene").sample_scene("development", 5).picture).float()[None] / 255


@pytest.mark.parametrize(("sampling", "zsnr"), SAMPLING)
def test_discrete_rules_have_a_thousand_timesteps(rule, sampling, zsnr):
    levels = rule("ModelSamplingDiscrete", sampling=sampling, zsnr=zsnr)
    plain = rule("ModelSamplingDiscrete", sampling="eps", zsnr=zsnr)
    step = 20 if sampling == "lcm" else 1
    entries = slice(step - 1, None, step)
    assert len(levels.sigmas) == 1000
    assert levels.sigmas[entries].equal(levels.rule.sigmas) and levels.sigmas[entries].equal(plain.sigmas[entries])
    inputs = levels.rule.timestep(levels.sigmas)
    assert (inputs - torch.arange(1000)).abs().max() <= (step - 1 if step > 1 else 0)
    assert [levels.timestep(levels.sigmas[t][None]) for t in (19, 499, 999)] == [19, 499, 999]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ModelSamplingContinuousEDM", {"sampling": "v_prediction", "sigma_max": 120.0, "sigma_min": 0.002}),
        ("ModelSamplingContinuousV", {"sampling": "v_prediction", "sigma_max": 500.0, "sigma_min": 0.03}),
    ],
)
def test_rules_over_continuous_time_count_their_table(rule, name, settings):
    levels = rule(name, **settings)
    assert levels.sigmas is levels.rule.sigmas and len(levels.sigmas) == 1000
    assert [levels.timestep(levels.sigmas[t][None]) for t in (0, 500, 999)] == [0, 500, 999]


@pytest.mark.parametrize("zsnr", [False, True])
def test_localize_finds_the_same_behind_lcm(changed, parts_of, run, scene, zsnr):
    """Its levels are nearly those of the plain rule."""
    parts = parts_of("lab")
    lcm = changed(parts["model"], "nodes_model_advanced", "ModelSamplingDiscrete", sampling="lcm", zsnr=zsnr)
    expected, found = (run("LocalizeConcepts", **parts | {"model": one}, image=scene) for one in (parts["model"], lcm))
    assert found[0].names == expected[0].names
    one, other = found[1] > 0.5, expected[1] > 0.5
    assert ((one & other).sum((1, 2)) / (one | other).sum((1, 2))).min() > 0.8


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ModelSamplingDiscrete", {"sampling": "lcm", "zsnr": False}),
        ("ModelSamplingDiscrete", {"sampling": "lcm", "zsnr": True}),
        ("ModelSamplingContinuousEDM", {"sampling": "v_prediction", "sigma_max": 120.0, "sigma_min": 0.002}),
    ],
)
def test_every_step_is_captured(changed, parts_of, run, stock, name, settings):
    parts = parts_of("lab")
    model = changed(parts["model"], "nodes_model_advanced", name, **settings)
    captured, capture = run("CaptureAttention", model=model, least_grid=1, stages="all")
    text, empty = (stock("CLIPTextEncode", clip=parts["clip"], text=one)[0] for one in ("a cat", ""))
    inputs = {"positive": text, "negative": empty, "latent_image": {"samples": torch.zeros(1, 4, *SIZE)}}
    inputs |= {"seed": 1, "steps": 4, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    plain, recorded = (stock("KSampler", model=one, **inputs)[0] for one in (model, captured))
    assert plain["samples"].equal(recorded["samples"])
    maps = capture.maps()
    assert all(maps.cross_counts[grid] == 4 * layers for grid, layers in maps.cross_layers.items())


@pytest.mark.parametrize("node", ["LocalizeConcepts", "CaptureAttention"])
@pytest.mark.parametrize("sampling", ["img_to_img", "img_to_img_flow"])
def test_a_rule_that_does_not_denoise_is_refused_by_name(changed, parts_of, run, image, node, sampling):
    parts = parts_of("lab")
    parts["model"] = changed(
        parts["model"], "nodes_model_advanced", "ModelSamplingDiscrete", sampling=sampling, zsnr=False
    )
    given = {"model": parts["model"]} if node == "CaptureAttention" else parts | {"image": image}
    with pytest.raises(ValueError, match=f"sampled by ModelSamplingDiscrete and {sampling.upper()}, which .*take out"):
        run(node, **given)


@pytest.mark.parametrize(
    ("node", "scales"), [("FreeU", (1.1, 1.2, 0.9, 0.2)), ("FreeU_V2", (1.3, 1.4, 0.9, 0.2))], ids=["FreeU", "FreeU_V2"]
)
def test_gradients_pass_patches_that_write_in_place(changed, parts_of, pack, node, scales):
    """The derivative along a direction is what differences of the model's answers say."""
    parts = parts_of("lab")
    patched = changed(parts["model"], "nodes_freelunch", node, *scales)
    backbone = pack("host.adapters").backbone_of(**parts | {"model": patched})
    dice = torch.Generator().manual_seed(2)
    latent, weights = (torch.randn(1, 4, *SIZE, generator=dice) for _ in range(2))
    start, along = (0.05 * torch.randn(1, 192, generator=dice) for _ in range(2))

    def answer(vectors):
        conditioning = backbone.encode_text(["a photo of <apple>"], {"<apple>": {"clip_l": vectors}})
        return (backbone.predict_noise(latent, torch.tensor([600]), conditioning) * weights).sum()

    vectors = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(answer(vectors), vectors)
    with torch.no_grad():
        difference = (answer(start + 0.01 * along) - answer(start - 0.01 * along)) / 0.02
        plain = pack("host.adapters").backbone_of(**parts)
        conditioning = plain.encode_text(["a photo of <apple>"], {"<apple>": {"clip_l": start}})
        unpatched = (plain.predict_noise(latent, torch.tensor([600]), conditioning) * weights).sum()
    backbone.close()
    assert not torch.isclose(unpatched, answer(start).detach(), rtol=1e-2)
    torch.testing.assert_close((gradient * along).sum(), difference, rtol=0.05, atol=1e-4)
