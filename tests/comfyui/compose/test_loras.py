"""Compose Concepts with LoRAs of regions, beside those of the stock loader, on UNets and on transformers."""

import pytest
import torch

PROMPT = "a cat and a rocket"
ONE_BLOCK = ("flux", "chroma", "qwen_image", "flux2", "krea2", "z_image", "lumina2")
"""Families whose small models can have one block."""

LEFT = (torch.arange(8) < 4).float().repeat(8, 1)  # a mask (8, 8)
FAMILIES = ("lab", "sd15", "sd2", "sdxl")


@pytest.fixture
def lora(pack, comfy_base):
    """Writes a LoRA file of a rank that changes every projection of every attention layer; gives its name."""

    def go(parts, family, rank):
        types, draw = pack("core.types"), torch.Generator().manual_seed(rank)
        factors = {
            one.name: types.LowRank(
                torch.randn(one.shape[0], rank, generator=draw), torch.randn(rank, one.shape[1], generator=draw) / 9
            )
            for one in pack("host.comfy.weights").attention_weights(parts["model"])
        }
        tokens = types.ConceptTokens({"it": {}}, family, adapter=factors)
        name = f"own_{family}_{rank}"
        pack("core.files").save_adapter(comfy_base / f"models/loras/{name}.safetensors", tokens)
        return name

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_each_concept_has_its_own_lora(parts_of, compose, sample, encode, lora, family):
    parts = parts_of(family)
    names = [lora(parts, family, rank) for rank in (2, 5)]
    plain = sample(parts, parts["model"], encode(parts, PROMPT))
    without, one, both = (
        sample(parts, *compose(parts, loras=loras)[:2]) for loras in ("", f"{names[0]}, none", ", ".join(names))
    )
    assert not torch.allclose(without, one, atol=1e-4) and not torch.allclose(one, both, atol=1e-4)
    assert torch.equal(sample(parts, parts["model"], encode(parts, PROMPT)), plain)
    nowhere = compose(parts, loras=", ".join(names), places="left weight=0\nright weight=0")
    assert torch.equal(sample(parts, *nowhere[:2]), plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lora_in_a_region_of_the_whole_picture_is_that_of_the_stock_loader(
    parts_of, compose, sample, encode, stock, lora, family
):
    """All projections of all attention layers, with and without the positive text."""
    parts = parts_of(family)
    name = lora(parts, family, 3)
    (stocks,) = stock("LoraLoaderModelOnly", model=parts["model"], lora_name=f"{name}.safetensors", strength_model=0.05)
    theirs = sample(parts, stocks, encode(parts, "a cat"))
    given = {"prompt": "a cat", "concepts": "a cat", "places": "everywhere", "preset": "paper"}
    quiet = "guidance=0, renew=false"
    ours = sample(parts, *compose(parts, loras=f"{name} strength=0.05", settings=quiet, **given)[:2])
    without = sample(parts, *compose(parts, settings=quiet, **given)[:2])
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=2e-3)
    assert float((without - theirs).abs().max()) > 0.02


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_all_layers_of_a_file_in_a_region_of_the_whole_picture_are_those_of_the_stock_loader(
    parts_of, compose, sample, encode, stock, whole_file, family
):
    """Feed-forward layers, convolutions and projections beside attention."""
    parts = parts_of(family)
    name, layers = whole_file(parts["model"], f"all_{family}")
    assert {len(layer.shape) for layer in layers} == {2, 4}
    (stocks,) = stock("LoraLoaderModelOnly", model=parts["model"], lora_name=f"{name}.safetensors", strength_model=0.05)
    theirs = sample(parts, stocks, encode(parts, "a cat"))
    given = {"prompt": "a cat", "concepts": "a cat", "places": "everywhere", "preset": "paper"}
    quiet = "guidance=0, renew=false"
    ours = sample(parts, *compose(parts, loras=f"{name} strength=0.05", settings=quiet, **given)[:2])
    without = sample(parts, *compose(parts, settings=quiet, **given)[:2])
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=5e-3)
    assert float((without - theirs).abs().max()) > 0.02
    assert torch.equal(sample(parts, *compose(parts, settings=quiet, **given)[:2]), without)


@pytest.mark.parametrize("family", ["lab", "sdxl"])
def test_a_regions_text_is_encoded_as_the_stock_loader_has_it(
    parts_of, compose, encode, stock, pack, comfy_base, family
):
    parts = parts_of(family)
    weights = [one for one in pack("host.comfy.text.weights").text_weights(parts["clip"]) if one.weight.ndim == 2]
    encoders, tensors = list(dict.fromkeys(one.encoder for one in weights)), {}
    draw = torch.Generator().manual_seed(4)
    for one in weights:
        number = encoders.index(one.encoder) + 1 if len(encoders) > 1 else ""
        base = f"lora_te{number}_text_model_{one.name.removesuffix('.weight').replace('.', '_')}"
        tensors[f"{base}.lora_up.weight"] = torch.randn(one.weight.shape[0], 2, generator=draw) / 4
        tensors[f"{base}.lora_down.weight"] = torch.randn(2, one.weight.shape[1], generator=draw) / 4
    pack("core.files").save_tensors(comfy_base / f"models/loras/text_{family}.safetensors", tensors)
    given = {"lora_name": f"text_{family}.safetensors", "strength_model": 1.0, "strength_clip": 0.5}
    _, clip = stock("LoraLoader", model=parts["model"], clip=parts["clip"], **given)
    theirs = encode({"clip": clip}, "a cat")[0][0]
    _, conditioning, *_ = compose(parts, loras=f"text_{family} strength=0.5, none")
    length = conditioning[0][0].shape[1] // 3
    torch.testing.assert_close(conditioning[0][0][:, length : 2 * length], theirs, rtol=1e-3, atol=1e-3)
    plain = encode(parts, "a cat")[0][0]
    assert not torch.allclose(plain, theirs, atol=1e-2)


@pytest.fixture
def changes_of(pack):
    """A random change of layers of a transformer, by name."""

    def go(model, wanted, scale=0.5):
        layers, types = pack("host.adapters").layers_of(model), pack("core.types")
        draw, found = torch.Generator().manual_seed(3), {}
        for layer in {one.name: one for one in layers.values() if one.placed and wanted(one)}.values():
            rows, columns = layer.shape
            up, down = torch.randn(rows, 2, generator=draw), torch.randn(2, columns, generator=draw)
            found[layer.name] = types.LowRank(up, down * scale / columns**0.5)
        return found

    return go


BEHIND = ("img_mlp", "feed_forward", "mlp", "ff")
"""What the layers behind the attention of a block are called."""


@pytest.mark.parametrize("family", ONE_BLOCK)
def test_on_transformers_a_lora_reaches_its_region_alone(one_block, composed, sample_transformer, changes_of, family):
    """Behind the attention of the one block; what attention reads of each other would show everywhere."""
    model = one_block(family)
    blocks = ("layers.0", "blocks.0", "double_blocks.0", "transformer_blocks.0")
    within = lambda layer: layer.name.startswith(blocks) and any(part in layer.name for part in BEHIND)  # noqa: E731
    changes = changes_of(model, within)
    assert changes
    settings = {"steps": 1, "cfg": 1.0}
    one, other = (
        sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT], layers=layers), **settings)
        for layers in (None, changes)
    )
    half = one.shape[-1] // 2
    assert torch.equal(one[..., half:], other[..., half:])
    assert not torch.allclose(one[..., :half], other[..., :half], atol=1e-3)
    assert torch.equal(sample_transformer(family, *composed(family, model, [LEFT, 1 - LEFT]), **settings), one)


@pytest.mark.parametrize("family", ["flux", "chroma"])
def test_on_transformers_a_region_of_the_whole_picture_is_the_stock_loaders(
    model_of, clip_of, composed, sample_transformer, small, stock, whole_file, pack, family
):
    """In all blocks, of text and picture; the region's text alone is read, as if it were the prompt."""
    model = model_of(family)
    name, _ = whole_file(model, f"all_{family}", lambda layer: "blocks" in layer.name, scale=0.3)
    (stocks,) = stock("LoraLoaderModelOnly", model=model, lora_name=f"{name}.safetensors", strength_model=1.0)
    text = small.conditioning(family, 5, 3)
    settings = {"cfg": 1.0}
    theirs, plain = (sample_transformer(family, one, text, **settings) for one in (stocks, model))
    layers = pack("host.adapters").layers_of(model)
    tensors = pack("core.files").load_tensors(
        pack("host.files.folders").current().find_model("loras", f"{name}.safetensors")
    )[0]
    backbone = pack("host.adapters").backbone_of(model, clip_of(family))
    adapter = pack("core.compose.parts.adapters").read_adapter(backbone, tensors, 1.0, name, layers)
    own = composed(family, model, [torch.ones(8, 8)], texts=(3,), layers=adapter.layers, of_prompt=0.0, isolation=0.0)
    read = [[own[1][0][0], text[0][1]]]  # with the pooled text of its own
    ours = sample_transformer(family, own[0], read, **settings)
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=1e-2)
    assert float((theirs - plain).abs().max()) > 0.05
