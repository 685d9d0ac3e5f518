"""LoRA files read headless give the weights that ComfyUI's own loader gives."""

import pytest
import torch

LINEAR = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
CONV = "down_blocks.1.resnets.0.conv1"
SCALE = 0.05


def some(*shape, seed=0):
    return SCALE * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def headless(pack):
    return pack("lab.model.handles").load_handles()[0]


@pytest.fixture(scope="module")
def shapes(headless):
    return {base: tuple(headless.unet.get_parameter(f"{base}.weight").shape) for base in (LINEAR, CONV)}


def pair(base, shape, rank=4, middle=False):
    rows, columns, *kernel = shape
    tensors = {f"{base}.lora_up.weight": some(rows, rank, *[1] * len(kernel)), f"{base}.alpha": torch.tensor(2.0)}
    if middle:
        tensors[f"{base}.lora_mid.weight"] = some(rank, rank, *kernel, seed=2)
        kernel = [1] * len(kernel)
    return tensors | {f"{base}.lora_down.weight": some(rank, columns, *kernel, seed=1)}


def loha(base, shape, rank=4, tucker=False):
    rows, columns, *kernel = shape
    sizes = {
        "hada_w1_a": (rows, rank),
        "hada_w1_b": (rank, columns),
        "hada_w2_a": (rows, rank),
        "hada_w2_b": (rank, columns),
    }
    if tucker:
        sizes |= {"hada_w1_a": (rank, rows), "hada_w2_a": (rank, rows)}
        sizes |= {"hada_t1": (rank, rank, *kernel), "hada_t2": (rank, rank, *kernel)}
    elif kernel:
        flat = columns * kernel[0] * kernel[1]
        sizes |= {"hada_w1_b": (rank, flat), "hada_w2_b": (rank, flat)}
    entries = {f"{base}.{name}": some(*size, seed=seed) / SCALE for seed, (name, size) in enumerate(sizes.items())}
    return entries | {f"{base}.alpha": torch.tensor(0.02)}


def lokr(base, shape, form="whole"):
    rows, columns, *kernel = shape
    sizes = {"lokr_w1": (4, 4), "lokr_w2": (rows // 4, columns // 4, *kernel)}
    if form == "second":
        sizes = {"lokr_w1": (4, 4), "lokr_w2_a": (rows // 4, 3), "lokr_w2_b": (3, columns // 4 * (9 if kernel else 1))}
    if form == "both":
        sizes = {"lokr_w1_a": (4, 2), "lokr_w1_b": (2, 4), "lokr_w2_a": (rows // 4, 3), "lokr_w2_b": (3, columns // 4)}
    if form == "tucker":
        sizes = {
            "lokr_w1": (4, 4),
            "lokr_t2": (3, 3, *kernel),
            "lokr_w2_a": (3, rows // 4),
            "lokr_w2_b": (3, columns // 4),
        }
    entries = {f"{base}.{name}": some(*size, seed=seed) / SCALE for seed, (name, size) in enumerate(sizes.items())}
    return entries | {f"{base}.alpha": torch.tensor(0.1)}


def dora(tensors, base, shape, by_rows):
    ones = [1] * (len(shape) - 2)
    size = (shape[0], 1, *ones) if by_rows else (1, shape[1], *ones)
    return tensors | {f"{base}.dora_scale": 1 + some(*size, seed=9)}


def kohya(base):
    return "lora_unet_" + base.replace(".", "_")


FILES = {
    "lora": lambda s: pair(kohya(LINEAR), s[LINEAR]) | pair(kohya(CONV), s[CONV]),
    "lora, Tucker": lambda s: pair(kohya(CONV), s[CONV], middle=True),
    "loha": lambda s: loha(kohya(LINEAR), s[LINEAR]) | loha(kohya(CONV), s[CONV]),
    "loha, Tucker": lambda s: loha(kohya(CONV), s[CONV], tucker=True),
    "lokr": lambda s: lokr(kohya(LINEAR), s[LINEAR]) | lokr(kohya(CONV), s[CONV]),
    "lokr, second in two": lambda s: lokr(kohya(LINEAR), s[LINEAR], "second"),
    "lokr, convolution in two": lambda s: lokr(kohya(CONV), s[CONV], "second"),
    "lokr, both in two": lambda s: lokr(kohya(LINEAR), s[LINEAR], "both"),
    "dora by rows": lambda s: dora(pair(kohya(LINEAR), s[LINEAR]), kohya(LINEAR), s[LINEAR], True),
    "dora by columns": lambda s: dora(pair(kohya(CONV), s[CONV]), kohya(CONV), s[CONV], False),
    "dora over loha": lambda s: dora(loha(kohya(LINEAR), s[LINEAR]), kohya(LINEAR), s[LINEAR], False),
    "dora over lokr": lambda s: dora(lokr(kohya(LINEAR), s[LINEAR]), kohya(LINEAR), s[LINEAR], True),
    "differences": lambda s: {
        f"{kohya(LINEAR)}.diff": some(*s[LINEAR]),
        f"{kohya(CONV)}.diff": some(*s[CONV]),
        f"{kohya(CONV)}.diff_b": some(s[CONV][0]),
    },
    "norms": lambda s: {f"{kohya('conv_norm_out')}.w_norm": some(64), f"{kohya('conv_norm_out')}.b_norm": some(64)},
    "a weight in place": lambda s: {f"{kohya(LINEAR)}.set_weight": some(*s[LINEAR])},
    "first diffusers": lambda s: {
        "unet." + key.replace(".to_", ".processor.to_").replace(".lora_", "_lora."): tensor
        for key, tensor in pair(LINEAR, s[LINEAR]).items()
        if "alpha" not in key
    },
    "ComfyUI's own": lambda s: pair("diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k", s[LINEAR]),
}


@pytest.mark.parametrize("strength", [1.0, -0.5])
@pytest.mark.parametrize("kind", FILES)
def test_weights_are_those_of_comfyui(pack, parts_of, headless, shapes, tmp_path, kind, strength):
    import comfy.lora
    import comfy.sd

    tensors = FILES[kind](shapes)
    path = tmp_path / "x.safetensors"
    pack("core.files").save_tensors(path, tensors)
    lora = pack("host.headless.lora_files").read_lora(path, headless.unet, headless.family)
    ours = pack("host.shared.weights.weight_patches").patched_weights(headless.unet, [lora.patch(strength)])

    native = parts_of("lab")["model"]
    patched, _ = comfy.sd.load_lora_for_models(native, None, tensors, strength, 0.0)
    names = pack("host.shared.weights.unet_layouts").original_names(dict(headless.unet.named_parameters()))
    held = {key: entry for key, entry in patched.get_key_patches().items() if len(entry) > 1}
    assert {f"diffusion_model.{names[name]}" for name in ours} == set(held) and ours
    for name, weight in ours.items():
        key = f"diffusion_model.{names[name]}"
        (stored, _), *patches = held[key]
        expected = comfy.lora.calculate_weight(patches, stored.detach().float().clone(), key)
        plain = headless.unet.get_parameter(name).detach()
        assert not torch.allclose(expected, plain, atol=1e-4)
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_names_are_those_of_comfyui(pack, parts_of, family):
    import comfy.utils

    theirs = comfy.utils.unet_to_diffusers(parts_of(family)["model"].model.model_config.unet_config)
    held = set(parts_of(family)["model"].model.state_dict())
    known = {ours: name for ours, name in theirs.items() if f"diffusion_model.{name}" in held}
    assert pack("host.shared.weights.unet_layouts").original_names(known) == known and known


BUNDLES = {
    "one": {"bundle_emb.cat.string_to_param.*": (2, 768)},
    "several": {f"bundle_emb.{name}.string_to_param.*": (n, 768) for n, name in enumerate(("zoo", "ant", "v1.5"), 1)},
    "by encoder": {"bundle_emb.cat.clip_l": (2, 768), "bundle_emb.dog.clip_l": (1, 768)},
    "both ways": {"bundle_emb.cat.clip_l": (2, 768), "bundle_emb.cat.string_to_param.*": (3, 768)},
    "and its own": {"clip_l": (1, 768), "bundle_emb.cat.string_to_param.*": (3, 768)},
}


@pytest.mark.parametrize("kind", BUNDLES)
def test_embeddings_inside_of_a_lora_file_are_those_of_comfyui(comfyui, pack, tmp_path, kind):
    from comfy.sd1_clip import load_embed

    tensors = {key: some(*shape, seed=seed) for seed, (key, shape) in enumerate(BUNDLES[kind].items())}
    files = pack("core.files")
    files.save_tensors(tmp_path / "x.safetensors", tensors | {f"{kohya(LINEAR)}.diff": some(3, 3)})
    expected = load_embed("x", [str(tmp_path)], 768, "clip_l")
    (vectors,) = files.load_embedding(tmp_path / "x.safetensors", {"clip_l": 768}).vectors.values()
    assert torch.equal(vectors["clip_l"], expected)
