"""How compositions are made and drawn in these tests."""

from functools import partial

import pytest
import torch

PLAIN = {
    "prompt": "a cat and a rocket",
    "concepts": "a cat\na rocket",
    "places": "left\nright",
    "method": "lora_composer",
}


@pytest.fixture
def sample(sample):
    """Two pictures of a UNet at once."""
    return partial(sample, batch=2)


@pytest.fixture
def sample_transformer(sample_transformer):
    """Two pictures of a transformer at once."""
    return partial(sample_transformer, batch=2)


@pytest.fixture
def compose(run):
    def go(parts, **changes):
        given = {"model": parts["model"], "clip": parts["clip"], "preset": "small"} | PLAIN
        return run("ComposeConcepts", **(given | changes))

    return go


@pytest.fixture
def whole_file(pack, comfy_base):
    """Writes a LoRA file of layers of a MODEL, by the names of ComfyUI's own table; gives its name and the layers."""

    def go(model, name, wanted=lambda layer: True, scale=1.0):
        layers = pack("host.adapters").layers_of(model)
        own = {layer.name: (base, layer) for base, layer in layers.items() if layer.placed and wanted(layer)}
        draw, tensors = torch.Generator().manual_seed(3), {}
        for base, layer in own.values():
            rows, columns = layer.size
            up = torch.randn(rows, 2, *[1] * (len(layer.shape) - 2), generator=draw)
            down = torch.randn(2, *layer.shape[1:], generator=draw)
            tensors |= {f"{base}.lora_up.weight": up, f"{base}.lora_down.weight": down * scale / columns**0.5}
        pack("core.files").save_tensors(comfy_base / f"models/loras/{name}.safetensors", tensors)
        return name, [layer for _, layer in own.values()]

    return go


@pytest.fixture
def composed(pack, small):
    """A composition of random texts for a transformer, and MODEL and CONDITIONING of it."""

    def go(family, model, masks, method="attention_couple", texts=(3, 4), layers=None, **settings):
        compose_module, registry = pack("core.compose.composition"), pack("core.compose.registry")
        base = small.conditioning(family)
        composer = registry.METHODS[method]
        divides = {"texts", "branches"} & set(composer.needs)
        parts = [small.conditioning(family, 5, seed)[0][0] for seed in texts] if divides else []
        context = torch.cat([base[0][0], *parts], dim=1)
        regions = tuple(
            compose_module.Region(
                f"{n}",
                slice(7 + 5 * n, 12 + 5 * n),
                (n + 1,),
                mask,
                subject=(n + 1,),
                layers=(layers or {}) if not n else {},
            )
            for n, mask in enumerate(masks)
        )
        extras = {name: value for name, value in base[0][1].items() if value is not None}
        conditioning = pack("core.backbone").Conditioning(context, extras)
        composition = compose_module.Composition(conditioning, slice(0, 7), regions)
        chosen = type(composer.preset("paper"))(**settings)
        value = pack("host.shared.compositions").Composed(composition, composer, chosen)
        return pack("host.adapters").with_composition(model, value), [[context, base[0][1]]]

    return go


ONE_BLOCK = {
    "flux": {"depth": 1, "depth_single_blocks": 0},
    "chroma": {"depth": 1, "depth_single_blocks": 0},
    "qwen_image": {"num_layers": 1},
    "flux2": {"depth": 1, "depth_single_blocks": 0},
    "krea2": {"layers": 1},
    "z_image": {"n_layers": 1},
    "lumina2": {"n_layers": 1},
}
"""Models of one block."""


@pytest.fixture
def one_block(small):
    """A small transformer of one block; skips where this ComfyUI does not know the family."""

    def go(family):
        if not small.here(family):
            pytest.skip(f"this ComfyUI has no {family}")
        with torch.inference_mode():
            return small.build(family, **ONE_BLOCK[family])

    return go
