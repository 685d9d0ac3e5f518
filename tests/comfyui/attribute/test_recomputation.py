"""Learning inside ComfyUI with blocks that are computed again: the same tokens, less memory, nothing left behind."""

import pytest
import torch

LATENT = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(0))
TIMESTEP = torch.tensor([5, 800])
FAMILIES = ("lab", "sd15", "sd2", "sdxl")


def step(pack, backbone, choice):
    """A loss over noise and attention; its gradients with respect to text and changes, and the calls of taps."""
    backbone.recomputation.choice = choice
    generator, low_rank = torch.Generator().manual_seed(3), pack("core.types").LowRank
    weights = {(one.kind, one.role): one for one in backbone.attention_weights()}
    changes = {
        one.name: low_rank(
            torch.randn(one.shape[0], 2, generator=generator).mul_(0.05).requires_grad_(),
            torch.randn(2, one.shape[1], generator=generator).requires_grad_(),
        )
        for one in weights.values()
    }
    words = {
        "<pet>": {
            name: torch.randn(1, width, generator=generator).mul_(0.05).requires_grad_()
            for name, width in backbone.text_widths.items()
        }
    }
    calls, maps, outside = [], [], []

    def tap(call):
        calls.append(call.site.name)
        maps.append((call.query @ call.key.mT * call.scale).softmax(-1).square().mean())

    backbone_listens = backbone.tap_attention(lambda call: outside.append(call.site.name))
    with torch.inference_mode(False), torch.enable_grad(), backbone_listens:
        conditioning = backbone.encode_text(["a <pet>", "a photo of a <pet>"], words)
        with backbone.tap_attention(tap), backbone.adapted(changes):
            noise = backbone.predict_noise(LATENT, TIMESTEP, conditioning)
        loss = noise.square().mean() + torch.stack(maps).sum()
        inputs = [*words["<pet>"].values(), *(half for one in changes.values() for half in (one.up, one.down))]
        gradients = torch.autograd.grad(loss, inputs)
    assert calls == outside == [site.name for site in backbone.attention_sites()]
    return noise.detach(), gradients


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_and_taps_are_called_once(pack, backbone_for, family):
    backbone = backbone_for(family)
    noise, gradients = step(pack, backbone, "off")
    again, others = step(pack, backbone, "on")
    assert again.equal(noise)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)


def test_blocks_whose_attention_another_node_replaces(pack, backbone_for, parts_of):
    """The replacement of one block looks where it is; by the second time the UNet has moved on."""
    model, seen = parts_of("sd15")["model"].clone(), []

    def replacement(query, key, value, options):
        from comfy.ldm.modules.attention import attention_pytorch

        seen.append(options["block"])
        factor = 0.5 if options["block"][0] == "input" else 1.0
        return factor * attention_pytorch(query, key, value, options["n_heads"])

    model.set_model_attn2_replace(replacement, "input", 1)
    model.set_model_attn2_replace(replacement, "output", 1)
    backbone = backbone_for("sd15", model=model)
    noise, gradients = step(pack, backbone, "off")
    once = len(seen)
    again, others = step(pack, backbone, "on")
    assert again.equal(noise) and len(seen) == 3 * once
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_less_memory_at_the_peak(pack, backbone_for, family):
    memory_of, backbone = pack("bench.cost.meters").memory_of, backbone_for(family)
    step(pack, backbone, "on")
    plain = memory_of(lambda: step(pack, backbone, "off"))
    ours = memory_of(lambda: step(pack, backbone, "on"))
    assert ours.peak < 0.8 * plain.peak


@pytest.mark.parametrize("free, on", [(1e12, False), (1e5, True)])
def test_automatic_goes_by_the_memory_that_is_free(pack, backbone_for, monkeypatch, free, on):
    import comfy.model_management as management

    backbone = backbone_for("lab")
    monkeypatch.setattr(management, "get_free_memory", lambda *args, **kwargs: free)
    kind, asked = type(backbone.recomputation), []
    run = kind.run
    monkeypatch.setattr(kind, "run", lambda self, *args, **kw: (asked.append(1), run(self, *args, **kw))[1])
    step(pack, backbone, "automatic")
    assert bool(asked) == on


def test_the_model_is_as_before_afterwards(pack, backbone_for, parts_of):
    unet = parts_of("lab")["model"].model.diffusion_model
    backbone = backbone_for("lab")
    step(pack, backbone, "on")
    backbone.close()
    methods = [vars(module)["forward"] for module in unet.modules() if "forward" in vars(module)]
    assert all(method.__func__ is type(method.__self__).forward for method in methods)


@pytest.mark.parametrize("method", ["conceptexpress", "cones", "break_a_scene", "disendiff", "attencraft", "far"])
def test_every_method_learns_the_same_tokens(run, parts_of, image, masks, uninterrupted, method):
    parts = parts_of("lab")
    concepts = run("ConceptsFromMasks", **parts, image=image, masks=masks)[0]
    given = {**parts, "image": image, "concepts": concepts, "method": method, "preset": "small", "steps": 2}
    given |= {"preview_every": 0, "keep_every": 0, "class_words": "1=cat, 2=dog", "class_weight": 0.1}
    plain, other = (run("LearnConceptTokens", **given, save_memory=choice)[0] for choice in ("off", "on"))
    for name, vectors in plain.vectors.items():
        for encoder, rows in vectors.items():
            torch.testing.assert_close(other.vectors[name][encoder], rows, rtol=0, atol=1e-6)
    for name, change in plain.adapter.items():
        torch.testing.assert_close(other.adapter[name].dense(), change.dense(), rtol=0, atol=1e-6)
    assert other.metadata["passes"] == plain.metadata["passes"]
