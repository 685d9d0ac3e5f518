import pytest
import torch

SIZES = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 12, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def both(pack):
    """The same weights in both hosts: handles of the headless runner, and parts of ComfyUI."""
    lab, convert = pack("lab.model.transformer"), pack("lab.model.convert")
    config = {**lab.TRANSFORMER_CONFIG, **SIZES, "axes_dims_rope": (4, 4, 4)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        transformer = lab.build_transformer(config).eval().requires_grad_(False)
        for name, parameter in transformer.named_parameters():
            if not name.startswith(lab.POOLED):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    modules, native = pack("lab.model.modules").build_modules(seed=1), pack("lab.model.comfy_native")
    headless = pack("lab.model.handles").transformer_handles(transformer, modules)
    with torch.inference_mode():
        parts = {
            "model": native.native_transformer(convert.transformer_to_flux(transformer.state_dict()), config),
            "clip": native.native_clip(convert.text_to_sd15(modules.text_encoder.state_dict())),
            "vae": native.native_vae(modules.vae),
        }
    return headless, parts


@pytest.fixture(scope="session")
def sample(sample_transformer):
    """What is sampled here are transformers."""
    return sample_transformer


@pytest.fixture(scope="session")
def sample_text(sample_transformer):
    """What KSampler draws of a text, by the CLIP that a transformer is sampled with."""

    def go(family, model, clip, text):
        with torch.inference_mode():
            texts = [clip.encode_from_tokens_scheduled(clip.tokenize(words)) for words in (text, "")]
        return sample_transformer(family, model, *texts)

    return go


@pytest.fixture(scope="session")
def encoded(pack):
    """A CONDITIONING as methods see it."""

    def go(cond):
        extras = {name: value for name, value in cond[0][1].items() if value is not None}
        return pack("core.backbone").Conditioning(cond[0][0], extras)

    return go


@pytest.fixture(scope="session")
def noise(small):
    """Noise of a family's latent, without the axis of films."""

    def go(family, size=(8, 12), batch=1):
        latent = small.latent(family, size, batch)
        shape = (latent[:, :, 0] if latent.ndim == 5 else latent).shape
        return torch.randn(shape, generator=torch.Generator().manual_seed(8))

    return go


@pytest.fixture(scope="session")
def reading_parts_of(small, comfy_base):
    """MODEL, CLIP and VAE of a family with a text encoder of its kind; skips where this ComfyUI has none."""
    made = {}

    def go(family):
        if not small.here(family):
            pytest.skip(f"this ComfyUI has no {family}")
        if family == small.DEV and not small.mistral_here():
            pytest.skip("this ComfyUI has no text encoder of FLUX.2 dev")
        if family not in made:
            with torch.inference_mode():
                made[family] = {
                    "model": small.build(family, **small.LEARNING[family][1]),
                    "clip": small.reading_clip(family, [str(comfy_base / "models/embeddings")]),
                    "vae": small.vae(small.SMALL[family].channels),
                }
        return made[family]

    return go
