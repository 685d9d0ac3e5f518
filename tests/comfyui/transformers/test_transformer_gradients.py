"""Diffusion transformers of every family with gradients: right, and in the memory that there is."""

import pytest
import torch

FAMILIES = ("flux", "flux2", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_agree_with_finite_differences(model_of, small, pack, backbone_of, family, encoded, noise):
    if not small.here(family):
        pytest.skip(f"this ComfyUI has no {family}")
    backbone = backbone_of(model_of(family))
    plain = encoded(small.conditioning(family))
    latent, weight = noise(family, (4, 6)), noise(family, (4, 6))

    def loss(context):
        given = pack("core.backbone").Conditioning(context, plain.extras)
        return (backbone.predict_target(latent, torch.tensor([700]), given) * weight).sum()

    context = plain.context.clone().requires_grad_()
    loss(context).backward()
    direction = torch.randn(context.shape, generator=torch.Generator().manual_seed(2))
    step = 3e-3
    with torch.no_grad():
        difference = (loss(plain.context + step * direction) - loss(plain.context - step * direction)) / (2 * step)
    slope = (context.grad * direction).sum()
    assert slope.abs() > 1e-3
    torch.testing.assert_close(slope, difference, rtol=0.03, atol=0.03)
    backbone.close()


def test_kernels_that_rotate_are_replaced_and_those_of_quantised_weights_stay(pack, monkeypatch):
    """What reads eight or four bits takes other arguments than the function of its name."""
    kernels = pytest.importorskip("comfy_kitchen")
    gradients, ops = pack("host.comfy.gradients"), torch.ops.comfy_kitchen
    generator = torch.Generator().manual_seed(3)
    query, key = (torch.randn(1, 4, 2, 8, generator=generator).requires_grad_() for _ in range(2))
    angles = torch.randn(1, 4, 1, 4, 2, 2, generator=generator)
    given = (query, key, angles, torch.ones(8), torch.ones(8))
    with torch.no_grad():
        plain = kernels.rms_rope_split_half(*given)
    with gradients.EagerRotations():
        turned = kernels.rms_rope_split_half(*given)
    assert all(torch.equal(one, two) and one.requires_grad for one, two in zip(turned, plain, strict=True))
    for name in ("dequantize_nvfp4", "dequantize_mxfp8"):
        if hasattr(ops, name):
            assert gradients._eager(getattr(ops, name)) is getattr(ops, name)
    monkeypatch.delattr("comfy_kitchen.backends.eager.rms_rope_split_half")
    refused = pack("host.adapters").UnsupportedModelError
    with gradients.EagerRotations(), pytest.raises(refused, match="no gradients pass rms_rope_split_half"):
        kernels.rms_rope_split_half(*given)


@pytest.mark.parametrize("family", FAMILIES)
def test_noise_velocity_and_clean_latent_belong_together(model_of, pack, backbone_of, small, family, encoded, noise):
    backbone = backbone_of(model_of(family))
    schedule, plain = backbone.schedule, encoded(small.conditioning(family))
    latent, time = noise(family), torch.tensor([400])
    with torch.no_grad():
        velocity = backbone.predict_target(latent, time, plain)
        predicted = backbone.predict_noise(latent, time, plain)
    torch.testing.assert_close(schedule.noise_from_velocity(velocity, latent, time), predicted, rtol=1e-3, atol=1e-3)
    assert schedule.steps == 1000 and backbone.family == family


@pytest.mark.parametrize("family", FAMILIES)
def test_learning_in_less_memory_gives_the_same_gradients(model_of, small, pack, backbone_of, family, encoded, noise):
    """Blocks that are computed again: the same gradients of prediction and attention, told once, less memory kept."""
    plain = encoded(small.conditioning(family))
    latent, weight = noise(family, (4, 6)), noise(family, (4, 6))
    found, kept, counts = [], [], []
    for choice in ("off", "on"):
        backbone, maps = backbone_of(model_of(family)), []
        backbone.recomputation.choice = choice
        context = plain.context.clone().requires_grad_()
        given = pack("core.backbone").Conditioning(context, plain.extras)

        def tap(call, maps=maps):
            maps.append((call.query.float() @ call.key.float().mT * call.scale).softmax(-1).square().mean())

        with torch.enable_grad(), backbone.tap_attention(tap):
            predicted = backbone.predict_target(latent, torch.tensor([700]), given)
            loss = (predicted * weight).sum() + torch.stack(maps).sum()
        found.append((predicted.detach(), torch.autograd.grad(loss, context)[0]))
        counts.append(len(maps))
        kept.append(kept_for_gradients(pack, backbone, noise(family, (16, 24)), given))
        backbone.close()
    assert counts[0] == counts[1] > 0 and torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-3, atol=1e-5)
    assert 0 < kept[1] < kept[0] / 2


def kept_for_gradients(pack, backbone, latent, text):
    """Bytes that a prediction keeps until its gradient is taken."""
    held = []

    def predict():
        with torch.enable_grad():
            held.append(backbone.predict_target(latent, torch.tensor([700]), text).sum())

    predict()  # what is made once for all passes is made here
    return pack("bench.cost.meters").memory_of(predict).kept


@pytest.mark.parametrize("family", ["flux", "z_image", "qwen_image"])
def test_what_a_pass_keeps_is_measured_and_blocks_are_computed_again_where_it_does_not_fit(
    model_of, small, pack, backbone_of, monkeypatch, family, encoded, noise
):
    import comfy.model_management as management

    backbone, plain = backbone_of(model_of(family)), encoded(small.conditioning(family))
    backbone.recomputation.choice = "automatic"
    given = pack("core.backbone").Conditioning(plain.context.clone().requires_grad_(), plain.extras)
    seen = []
    stock = backbone.recomputation.in_force
    monkeypatch.setattr(backbone.recomputation, "in_force", lambda wanted: (seen.append(wanted), stock(wanted))[1])
    for free in (1 << 40, 1):
        monkeypatch.setattr(management, "get_free_memory", lambda *_, free=free, **__: free)
        seen.clear()
        backbone.predict_target(noise(family), torch.tensor([700]), given).sum().backward()
        assert seen[-1] == (free == 1)
    backbone.close()
