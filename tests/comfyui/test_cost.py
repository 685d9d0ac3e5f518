"""``bench cost`` on a real ComfyUI: its plain computations are what ComfyUI computes, and its shapes are SD1.5's."""

import pytest
import torch


@pytest.fixture(scope="module")
def native(pack):
    return pack("bench.cost.native")


@pytest.fixture
def ground(native, parts_of):
    with torch.inference_mode():  # as the command does
        return native.NativeGround("0", tuple(parts_of("lab").values()))


def test_the_large_model_is_what_the_stock_loader_calls_sd15(pack):
    import comfy.model_detection
    import comfy.supported_models

    sizes, keys = {}, {}
    for prefix, module in pack("bench.cost.sd15").skeletons().items():
        sizes[prefix] = sum(weight.numel() for weight in module.parameters())
        keys |= {prefix + name: weight for name, weight in module.state_dict().items()}
    assert [round(size / 1e6, 2) for size in sizes.values()] == [859.52, 83.65, 123.65]
    found = comfy.model_detection.model_config_from_unet(keys, "model.diffusion_model.")
    assert type(found) is comfy.supported_models.SD15


def test_gradients_of_the_plain_pass_are_those_of_our_backbone(pack, ground, parts_of):
    """Up to a factor: the backbone converts what the model gives, and adds noise in its own way."""
    vectors = {"<1>": {"clip_l": torch.randn(1, 192, generator=torch.Generator().manual_seed(0)) * 0.02}}
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    (plain,) = ground.forward_backward(latent, ["a photo of <1>"], vectors)
    backbone = pack("host.adapters").backbone_of(**parts_of("lab"))
    with torch.inference_mode(False), torch.enable_grad():
        leaf = vectors["<1>"]["clip_l"].clone().requires_grad_()
        told = backbone.encode_text(["a photo of <1>"], {"<1>": {"clip_l": leaf}})
        noise = backbone.predict_noise(latent, torch.tensor([500]), told)
        (ours,) = torch.autograd.grad(noise.square().mean(), [leaf])
    backbone.close()
    torch.testing.assert_close(plain, ours, rtol=1e-3, atol=1e-4 * float(ours.abs().max()))


def test_plain_copies_share_memory_and_leave_the_model_alone(native, ground):
    unet = ground.model.model.diffusion_model
    copied = native.plain_copy(unet)
    pairs = list(zip(unet.parameters(), copied.parameters(), strict=True))
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)
    assert not any(b.is_inference() or b.requires_grad for _, b in pairs)


def test_capture_is_measured_within_its_memory_aim(pack, ground):
    figures, shape = pack("bench.cost.figures"), pack("bench.cost.ground").SHAPES["lab"]
    with torch.inference_mode():
        found = figures.capture_cost(ground, shape, pack("bench.cost.settings").CostSettings(repetitions=1, steps=2))
    assert 0 < found["kept_mb"] <= found["more_mb"] + 0.1 < 64 and found["ratio"] > 0


@pytest.mark.parametrize("figure", ["listening", "localize", "learn", "erase"])
def test_every_figure_is_measured(pack, ground, figure):
    figures, shape = pack("bench.cost.figures"), pack("bench.cost.ground").SHAPES["lab"]
    settings = pack("bench.cost.settings").CostSettings(repetitions=1, concepts=1, preserved=2)
    with torch.inference_mode():
        found = figures.FIGURES[figure](ground, shape, settings)
    assert found["repetitions"] == 1
    if figure == "learn":
        layers = [*ground.unet.modules(), *ground.encoder.modules()]
        assert not any(getattr(layer, "weight_function", ()) for layer in layers), "the plain pass has our wrappers"
        assert found["kept_after_finishing_mb"] < 0.1 and found["kept_after_cancelling_mb"] < 0.1
