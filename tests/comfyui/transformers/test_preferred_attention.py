"""Checkpoints that ask for an attention of their own (int8, since ComfyUI 0.34), while their attention is captured.

Where an override is set, that ComfyUI leaves out what a layer prefers, so whoever sets one has to ask the layer.
The versions tested here know no preferences: their calls are patched to do what the newest ones do.
"""

import importlib
from types import SimpleNamespace

import pytest
import torch

FAMILIES = ("flux", "flux2", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
OVERRIDE = "optimized_attention_override"
CALLS = {
    "z_image": ("lumina.model", "optimized_attention_masked"),
    "lumina2": ("lumina.model", "optimized_attention_masked"),
    "krea2": ("krea2.model", "optimized_attention_masked"),
    "qwen_image": ("qwen_image.model", "optimized_attention_masked"),
    "anima": ("cosmos.predict2", "optimized_attention"),
    "sd3": ("modules.diffusionmodules.mmdit", "optimized_attention"),
}
"""Module and name by which a family calls ComfyUI's attention; FLUX and those like it call it in ``flux.math``."""


def attentions_of(family, denoiser):
    """Modules that run, with those inside whose preferences hold for their attention calls, call by call."""
    if family in ("flux", "flux2", "chroma"):
        return [(block, [block]) for block in (*denoiser.double_blocks, *denoiser.single_blocks)]
    if family == "sd3":
        halves = [(block, block.x_block) for block in denoiser.joint_blocks]
        return [(block, [half.attn, *([half.attn2] if half.x_block_self_attn else [])]) for block, half in halves]
    return [
        (module, [module])
        for name, module in denoiser.named_modules()
        if type(module).__name__ in ("Attention", "JointAttention") and "llm_adapter" not in name
    ]


@pytest.fixture
def preferring(monkeypatch):
    """Lets every attention layer of a MODEL prefer an attention of its own, and notes which of them compute."""
    hooks, computed = [], []

    def go(family, model):
        module, name = CALLS.get(family, ("flux.math", "optimized_attention"))
        place = importlib.import_module(f"comfy.ldm.{module}")
        stock, waiting = getattr(place, name), []

        def preferred(number):
            def attention(query, *args, **kwargs):
                computed.append(number)
                return stock(query / (2 + number), *args, **kwargs)

            return attention

        def asking(*args, **kwargs):
            owner = waiting.pop(0)
            overridden = OVERRIDE in (kwargs.get("transformer_options") or {})
            return (stock if overridden else owner.comfy_attention.function)(*args, **kwargs)

        number = 0
        for runs, owners in attentions_of(family, model.model.diffusion_model):
            hooks.append(runs.register_forward_pre_hook(lambda *_, owners=owners: waiting.extend(owners)))
            for owner in owners:
                choice = SimpleNamespace(function=preferred(number))
                monkeypatch.setattr(owner, "comfy_attention", choice, raising=False)
                number += 1
        monkeypatch.setattr(place, name, asking)
        return computed

    yield go
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_keeps_the_attention_that_a_checkpoint_asks_for(model_of, sample, run, preferring, family):
    """Refiners and calls that no site stands for included, whichever blocks are captured."""
    model = model_of(family)
    stock = sample(family, model)
    computed = preferring(family, model)
    plain = sample(family, model)
    asked = list(computed)
    assert not torch.equal(plain, stock) and set(asked) == set(range(max(asked) + 1))
    for blocks in ("all", "0"):
        computed.clear()
        captured, recorded = run("CaptureAttention", model=model, least_grid=1, blocks=blocks)
        assert torch.equal(sample(family, captured), plain)
        assert computed == asked and recorded.maps().cross


@pytest.mark.parametrize("family", ["flux", "flux2", "chroma", "krea2", "sd3"])
def test_so_it_does_while_concepts_are_read_beside_the_text(model_of, clip_of, sample, run, preferring, family):
    """In their own passes, too."""
    model = model_of(family)
    computed = preferring(family, model)
    plain = sample(family, model)
    asked = list(computed)
    computed.clear()
    given = {"clip": clip_of(family), "concepts": "red square, green thing", "least_grid": 1}
    captured, recorded = run("CaptureAttention", model=model, **given)
    assert torch.equal(sample(family, captured), plain)
    assert len(computed) > len(asked) and set(computed) == set(asked) and recorded.runs[-1].missed == ()


@pytest.mark.parametrize("family", ["z_image", "krea2", "sd3"])
def test_an_override_before_ours_decides_as_it_does_without_us(model_of, sample, run, preferring, family):
    model = model_of(family).clone()
    given = {OVERRIDE: lambda attention, query, *args, **kwargs: attention(query * 0.7, *args, **kwargs)}
    model.model_options["transformer_options"] = given
    computed = preferring(family, model)
    plain = sample(family, model)
    assert torch.equal(sample(family, run("CaptureAttention", model=model, least_grid=1)[0]), plain) and not computed
