"""``bench cost`` on a real ComfyUI: its plain computations are ComfyUI's, its shapes those of real models."""

from dataclasses import replace

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
        conditioning = backbone.encode_text(["a photo of <1>"], {"<1>": {"clip_l": leaf}})
        noise = backbone.predict_noise(latent, torch.tensor([500]), conditioning)
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


@pytest.fixture
def transformer(pack, small):
    """A small transformer of a family, of which two blocks stand for six of each kind."""

    def go(family, **lists):
        sizes, module = small.SMALL[family], pack("bench.cost.transformers")
        settings = sizes.settings | dict.fromkeys(lists.values(), 2)
        whole = {name: (6, setting) for name, setting in lists.items()}
        cell = 16 if family == "flux2" else 8
        width = module.Width(sizes.config, family, settings, sizes.channels, cell, sizes.width, whole)
        with torch.inference_mode():
            return module.TransformerGround("0", family, width)

    return go


@pytest.mark.parametrize(
    ("family", "lists", "recorded"),
    [
        ("z_image", {"layers": "n_layers"}, 3),
        ("flux2", {"double_blocks": "depth", "single_blocks": "depth_single_blocks"}, 3),
    ],
)
def test_the_cost_of_a_transformer_is_reckoned_from_its_blocks(pack, monkeypatch, transformer, family, lists, recorded):
    """By default half of Z-Image's blocks are recorded, and half of FLUX.2's double ones."""
    ground, figures = transformer(family, **lists), pack("bench.cost.figures")
    shape = pack("bench.cost.ground").Shape("z_image", 128, transformer=True)
    assert set(figures.figures_of(shape)) == {"transformer blocks", "transformer learning", "token map"}
    with torch.inference_mode():
        settings = pack("bench.cost.settings").CostSettings(repetitions=2)
        found = figures.figures_of(shape)["transformer blocks"](ground, shape, settings)
        # Blocks as small beside these few heads as the real ones are beside those of a real model.
        monkeypatch.setattr(pack("core.attention.probabilities"), "GRAPH_NUMBERS", 2**18)
        maps = figures.figures_of(shape)["token map"](ground, replace(shape, side=512), settings)
    assert maps["largest_difference"] < 1e-6 and 0 < maps["ours_peak_mb"] <= maps["plain_peak_mb"]
    assert list(found["blocks"]) == list(lists) and found["whole"]["recorded"] == recorded
    assert found["whole"]["blocks"] == 6 * len(lists)
    plain = found["beside_blocks_cpu_s"] + sum(6 * of["plain_cpu_s"] for of in found["blocks"].values())
    more = recorded * next(iter(found["blocks"].values()))["map_cpu_s"]
    assert found["whole"]["cpu_ratio"] == pytest.approx(1 + more / plain, abs=2e-3)
    assert all(of["map_cpu_s"] > 0 for of in found["blocks"].values()) and found["more_mb"] < 64
    assert not any(block._forward_hooks for name in lists for block in getattr(ground.denoiser, name))


@pytest.mark.parametrize(
    ("family", "lists"),
    [
        ("z_image", {"layers": "n_layers"}),
        ("flux2", {"double_blocks": "depth", "single_blocks": "depth_single_blocks"}),
    ],
)
def test_the_memory_of_learning_grows_by_what_a_block_holds(pack, transformer, family, lists):
    ground, figures = transformer(family, **lists), pack("bench.cost.figures")
    shape = pack("bench.cost.ground").Shape("z_image", 256, transformer=True)
    before = {name: list(getattr(ground.denoiser, name)) for name in lists}
    with torch.inference_mode():
        settings = pack("bench.cost.settings").CostSettings(repetitions=1)
        found = figures.figures_of(shape)["transformer learning"](ground, shape, settings)
    assert found["largest_difference"] < 1e-6 and found["ours_peak_mb"] < found["plain_peak_mb"]
    for choice, peak in (("off", "plain_peak_mb"), ("on", "ours_peak_mb")):
        more = sum(4 * of[choice] for of in found["held_mb"].values())  # six blocks of each kind, of which two ran
        assert found["whole_mb"][choice] == pytest.approx(found[peak] + more, rel=0.01)
    assert all(of["on"] < of["off"] / 2 for of in found["held_mb"].values())
    assert {name: list(getattr(ground.denoiser, name)) for name in lists} == before


def test_the_widths_are_those_that_comfyui_reads_from_checkpoints(pack):
    """By the keys and shapes of such a file."""
    import comfy.model_detection

    module = pack("bench.cost.transformers")
    for width in module.WIDTHS.values():
        with torch.device("meta"):
            denoiser = module._model(width, width.settings, torch.device("meta")).diffusion_model
        read = comfy.model_detection.detect_unet_config(denoiser.state_dict(), "")
        assert {name: read.get(name, value) for name, value in width.settings.items()} == dict(width.settings)
