"""The lab model at random weights, for tests that need a whole model: every interface, no knowledge.

Imported inside the fixtures, so that tests of pure tensor code run without diffusers and transformers.
"""

import pytest
import torch


@pytest.fixture(scope="session")
def lab_modules():
    """Shared by all tests, so none may change it."""
    from concept_atelier.lab.model.modules import build_modules

    return build_modules(seed=0)


@pytest.fixture(scope="session")
def lab_model(lab_modules):
    from concept_atelier.core.schedule import scaled_linear_alphas
    from concept_atelier.host.shared.handles import ModelHandle

    return ModelHandle(lab_modules.unet, scaled_linear_alphas(), "lab")


@pytest.fixture(scope="session")
def lab_clip(lab_modules):
    from concept_atelier.host.shared.handles import ClipHandle, TextEncoder

    return ClipHandle({"clip_l": TextEncoder(lab_modules.tokenizer, lab_modules.text_encoder)}, "lab")


@pytest.fixture(scope="session")
def lab_vae(lab_modules):
    from concept_atelier.host.shared.handles import VaeHandle
    from concept_atelier.lab.model.vae import SCALING_FACTOR

    return VaeHandle(lab_modules.vae, SCALING_FACTOR)


@pytest.fixture(scope="session")
def lab_backbone(lab_model, lab_clip, lab_vae):
    from concept_atelier.host.adapters import backbone_of

    return backbone_of(lab_model, lab_clip, lab_vae)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
