"""The lab model at random weights, for tests that need a whole model: every interface, no knowledge.

Imported inside the fixtures, so that tests of pure tensor code run without diffusers and transformers.
"""

from dataclasses import replace

import pytest
import torch


@pytest.fixture(scope="session")
def whole_modules():
    """Shared by all tests, so none may change it."""
    from concept_atelier.lab.model.modules import build_modules

    return build_modules(seed=0)


@pytest.fixture(scope="session")
def narrow_modules(whole_modules):
    """The same with a denoiser of half the width, as deep and with as many heads. Tests of methods and nodes take it in
    place of ``lab_modules`` for its quicker passes. Shared by all tests, so none may change it."""
    from diffusers import UNet2DConditionModel

    from concept_atelier.lab.model.modules import UNET_CONFIG

    widths = tuple(width // 2 for width in UNET_CONFIG["block_out_channels"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(**UNET_CONFIG | {"block_out_channels": widths, "norm_num_groups": 16})
    return replace(whole_modules, unet=unet.eval())


def model_of(modules):
    from concept_atelier.core.schedule import scaled_linear_alphas
    from concept_atelier.host.shared.handles import ModelHandle

    return ModelHandle(modules.unet, scaled_linear_alphas(), "lab")


@pytest.fixture(scope="session")
def lab_modules(whole_modules):
    return whole_modules


@pytest.fixture(scope="session")
def whole_model(whole_modules):
    return model_of(whole_modules)


@pytest.fixture(scope="session")
def lab_model(whole_model):
    return whole_model


@pytest.fixture(scope="session")
def narrow_model(narrow_modules):
    return model_of(narrow_modules)


@pytest.fixture(scope="session")
def lab_clip(whole_modules):
    from concept_atelier.host.shared.handles import ClipHandle, TextEncoder

    return ClipHandle({"clip_l": TextEncoder(whole_modules.tokenizer, whole_modules.text_encoder)}, "lab")


@pytest.fixture(scope="session")
def lab_vae(whole_modules):
    from concept_atelier.host.shared.handles import VaeHandle
    from concept_atelier.lab.model.vae import SCALING_FACTOR

    return VaeHandle(whole_modules.vae, SCALING_FACTOR)


@pytest.fixture(scope="session")
def whole_backbone(whole_model, lab_clip, lab_vae):
    from concept_atelier.host.adapters import backbone_of

    return backbone_of(whole_model, lab_clip, lab_vae)


@pytest.fixture(scope="session")
def lab_backbone(whole_backbone):
    return whole_backbone


@pytest.fixture(scope="session")
def narrow_backbone(narrow_model, lab_clip, lab_vae):
    from concept_atelier.host.adapters import backbone_of

    return backbone_of(narrow_model, lab_clip, lab_vae)


@pytest.fixture(scope="session")
def lab_transformer(whole_modules):
    """MODEL, CLIP and VAE of a small lab transformer, of which nothing is left at zero."""
    from concept_atelier.lab.model.handles import transformer_handles
    from concept_atelier.lab.model.transformer import TRANSFORMER_CONFIG, build_transformer

    small = {"num_layers": 2, "num_single_layers": 1, "attention_head_dim": 12, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        transformer = build_transformer({**TRANSFORMER_CONFIG, **small, "axes_dims_rope": (4, 4, 4)})
        for parameter in transformer.eval().requires_grad_(False).parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return transformer_handles(transformer, whole_modules)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
