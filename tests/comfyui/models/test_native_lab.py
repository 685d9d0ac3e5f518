"""The lab model as native MODEL, CLIP and VAE: what ComfyUI's stock nodes make of it."""

import pytest
import torch
from safetensors.torch import save_file

DENOISERS = ("unet", "transformer")


@pytest.fixture(scope="module")
def lab(parts_of):
    return parts_of("lab")


@pytest.fixture(scope="module")
def hosted(run, pack):
    """The shipped weights by a denoiser's name, in ComfyUI and headless: parts by socket name."""
    sockets, made = ("model", "clip", "vae"), {}

    def go(denoiser):
        if denoiser not in made:
            native = run("LoadLabModel", denoiser=denoiser)
            handles = pack("lab.model.handles").load_handles(denoiser=denoiser)
            made[denoiser] = [dict(zip(sockets, parts, strict=True)) for parts in (native, handles)]
        return made[denoiser]

    return go


@pytest.mark.parametrize("denoiser", DENOISERS)
def test_both_hosts_predict_the_same_with_the_shipped_weights(hosted, pack, denoiser):
    """Within 1e-5 at a low, a middle and a high level of noise."""
    latent = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    found = []
    for parts in hosted(denoiser):
        backbone = pack("host.adapters").backbone_of(**parts)
        with torch.no_grad():
            text = backbone.encode_text(["a cat and a rocket on blue"])
            found.append([backbone.predict_target(latent, torch.tensor([time]), text) for time in (50, 400, 900)])
    for native, headless in zip(*found, strict=True):
        assert headless.std() > 0.1
        torch.testing.assert_close(native, headless, rtol=0, atol=1e-5)


@pytest.mark.parametrize("denoiser", DENOISERS)
def test_it_draws_what_it_draws_headless(hosted, draw, pack, denoiser):
    """Same seed, same sampler, no trained number different: a picture of the object by both hosts."""
    backbone_of = pack("host.adapters").backbone_of
    lab, headless_parts = hosted(denoiser)
    model, clip, vae = headless_parts.values()
    headless = backbone_of(model, clip, vae)
    conditioning = [[[c.context, dict(c.extras)]] for c in (headless.encode_text([t]) for t in ("a cat", ""))]
    sample = pack("host.headless.sampling").sample
    with torch.no_grad():
        drawn = sample(model, *conditioning, {"samples": torch.zeros(1, 4, 16, 16)}, seed=3, steps=4, cfg=3.0)
        expected = headless.decode_latent(drawn["samples"] * model.scaling_factor).movedim(1, -1)
    got = draw(lab, size=(128, 128), steps=4)
    assert expected.std() > 0.05
    torch.testing.assert_close(got, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "text",
    [
        "a cat on blue",
        "a photo of a cat and a rocket on blue, " * 9,
        "a (cat:1.4) on blue and " * 20 + "((a rocket)) and \\(words\\)",
        "a photo of a cat on blue and " * 10 + "embedding:long and embedding:short, a rocket " * 8,
        "1 2 3 4 5 6 7 8 " * 9 + " (one two three:0.5) and embedding:short",
    ],
)
def test_prompts_of_any_length_are_encoded_the_same_way_headless(lab, stock, pack, comfy_base, text):
    folder = comfy_base / "models/embeddings"
    for name, rows in (("short", 3), ("long", 11)):
        vectors = 0.05 * torch.randn(rows, 192, generator=torch.Generator().manual_seed(rows))
        save_file({"emb_params": vectors}, folder / f"{name}.safetensors")
    _, clip, _ = pack("lab.model.handles").load_handles(embedding_folders=(folder,))
    ((expected, extras),) = stock("CLIPTextEncode", clip=lab["clip"], text=text)[0]
    headless, native = (pack("host.adapters").backbone_of(clip=one) for one in (clip, lab["clip"]))
    with torch.no_grad():
        got = headless.encode_text([text])
        assert headless.tokenize(text) == native.tokenize(text)
    torch.testing.assert_close(got.context, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got.extras["pooled_output"], extras["pooled_output"], atol=1e-4, rtol=1e-4)


def test_stock_vae_nodes(lab, stock, image):
    latent = stock("VAEEncode", vae=lab["vae"], pixels=image)[0]
    again = stock("VAEDecode", vae=lab["vae"], samples=latent)[0]
    tiled = stock("VAEDecodeTiled", vae=lab["vae"], samples=latent, tile_size=512, overlap=64)[0]
    assert latent["samples"].shape == (1, 4, 8, 12) and again.shape == image.shape
    assert (again - image).square().mean() < 0.02
    torch.testing.assert_close(tiled, again, rtol=0, atol=0.02)


def test_stock_lora_loader(lab, stock, draw, comfy_base):
    keys = (
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v",
        "lora_te_text_model_encoder_layers_0_mlp_fc1",
    )
    shapes = ((64, 192), (768, 192))
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for key, (out, into) in zip(keys, shapes, strict=True):
        tensors[f"{key}.lora_up.weight"] = torch.randn(out, 2, generator=generator)
        tensors[f"{key}.lora_down.weight"] = torch.randn(2, into, generator=generator) / into**0.5
    save_file(tensors, comfy_base / "models/loras/lab.safetensors")
    loader = {"model": lab["model"], "clip": lab["clip"], "lora_name": "lab.safetensors"}
    before = draw(lab)
    pictures = []
    for strengths in ((1.0, 0.0), (0.0, 1.0)):
        model, clip = stock("LoraLoader", **loader, strength_model=strengths[0], strength_clip=strengths[1])
        pictures.append(draw(lab | {"model": model, "clip": clip}))
    assert not any(torch.allclose(picture, before) for picture in pictures)
    assert draw(lab).equal(before)


def test_stock_merge_node(lab, draw, run):
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    with torch.inference_mode():
        merged = ModelMergeSimple().merge(lab["model"], run("LoadLabModel")[0], 0.5)[0]
    torch.testing.assert_close(draw(lab | {"model": merged}), draw(lab), rtol=0, atol=1e-3)


def test_stock_clip_skip(lab, stock, pack):
    skipped = stock("CLIPSetLastLayer", clip=lab["clip"], stop_at_clip_layer=-2)[0]
    backbone_of = pack("host.adapters").backbone_of
    with torch.no_grad():
        plain, deep = (backbone_of(clip=clip).encode_text(["a cat"]).context for clip in (lab["clip"], skipped))
    assert not torch.allclose(plain, deep)
    assert deep.equal(stock("CLIPTextEncode", clip=skipped, text="a cat")[0][0][0])
