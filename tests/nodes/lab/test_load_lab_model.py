"""Load Lab Model: the weights that ship with the pack."""

import pytest
import torch

from concept_atelier.host.adapters import backbone_of
from concept_atelier.lab.model import weights
from concept_atelier.nodes import LoadLabModel


def test_the_three_parts_fit_each_other(call, here):
    model, clip, vae = call(LoadLabModel).args
    backbone = backbone_of(model, clip, vae)
    latent = backbone.encode_image(torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        noise = backbone.predict_noise(latent, torch.tensor([500]), backbone.encode_text(["a cat"]))
    assert noise.shape == latent.shape == (1, 4, 4, 6) and torch.isfinite(noise).all()
    assert model.family == clip.family == "lab" and clip.embedding_folders == here.models["embeddings"]
    assert not any(parameter.requires_grad for parameter in model.unet.parameters())


def test_the_text_encoder_distinguishes_words_after_training(call):
    _, clip, _ = call(LoadLabModel).args
    with torch.no_grad():
        context = backbone_of(clip=clip).encode_text(["a cat", "a rocket"]).context
    assert (context[0] - context[1]).abs().max() > 0.1


def test_missing_weights_say_which_and_how_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="the lab model's unet is missing: .*lab train"):
        weights.load_lab_model(tmp_path)


def test_the_transformer_is_a_choice(call):
    assert call(LoadLabModel, denoiser="unet").args[0].family == "lab"
    model, clip, vae = call(LoadLabModel, denoiser="transformer").args
    backbone = backbone_of(model, clip, vae)
    latent = backbone.encode_image(torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        noise = backbone.predict_noise(latent, torch.tensor([500]), backbone.encode_text(["a cat"]))
    assert backbone.family == "lab_flux" and noise.shape == (1, 4, 4, 6) and torch.isfinite(noise).all()
