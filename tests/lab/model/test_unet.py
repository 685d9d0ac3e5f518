"""Our own UNet and text encoder compute what those of diffusers and transformers do."""

import subprocess
import sys

import pytest
import torch

from concept_atelier.lab.model.modules import (
    build_text_encoder,
    build_unet,
    load_tokenizer,
    quick_text_encoder,
    quick_unet,
)


@pytest.fixture(scope="module")
def unets():
    theirs, ours = build_unet().eval(), quick_unet().eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.fixture(scope="module")
def encoders():
    theirs, ours = build_text_encoder().eval(), quick_text_encoder().eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("size", [(16, 16), (12, 16), (9, 11), (2, 3)])
def test_the_noise_is_that_of_diffusers(unets, generator, size):
    latent, context = torch.randn(2, 4, *size, generator=generator), torch.randn(2, 77, 192, generator=generator)
    with torch.no_grad():
        theirs, ours = (
            unet(latent, torch.tensor([5, 800]), encoder_hidden_states=context, return_dict=False)[0] for unet in unets
        )
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_diffusers(unets, generator):
    latent, slopes = torch.randn(1, 4, 8, 8, generator=generator), []
    context = torch.randn(1, 77, 192, generator=generator).requires_grad_()
    for unet in unets:
        noise = unet(latent, torch.tensor([50]), encoder_hidden_states=context, return_dict=False)[0]
        slopes.append(torch.autograd.grad(noise.square().mean(), context)[0])
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("length", [77, 5, 1])
def test_texts_are_encoded_as_transformers_does(encoders, length):
    texts = ["a red cat", "", "a photo of a dog and a rocket"]
    ids = load_tokenizer()(texts, padding="max_length", max_length=77, return_tensors="pt")["input_ids"][:, :length]
    with torch.no_grad():
        theirs, ours = (encoder(input_ids=ids, output_hidden_states=True) for encoder in encoders)
    torch.testing.assert_close(ours.last_hidden_state, theirs.last_hidden_state, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, rtol=1e-6, atol=1e-6)
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for one, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_the_lab_model_loads_without_what_is_slow_to_import():
    code = (
        "import sys, torch\n"
        "from concept_atelier.lab.model.handles import load_handles\n"
        "from concept_atelier.host.adapters import backbone_of\n"
        "backbone = backbone_of(*load_handles())\n"
        "with torch.inference_mode():\n"
        "    text = backbone.encode_text(['a cat'])\n"
        "    backbone.predict_noise(torch.zeros(1, 4, 16, 16), torch.tensor([5]), text)\n"
        "slow = {'diffusers', 'torch._dynamo', 'sympy', 'peft'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
