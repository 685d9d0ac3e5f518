"""LoRA-Composer's guidance where it cannot act: the MODEL stays one that only samples, and takes noise masks."""

import pytest
import torch

PAPER = {"method": "lora_composer", "preset": "paper"}
INSIDE = torch.ones(1, 64, 96)


def test_where_places_are_found_the_model_takes_no_gradients(parts_of, compose, sample):
    parts = parts_of("sd15")
    guided, *_ = compose(parts, **PAPER)
    model, conditioning, *_ = compose(parts, **PAPER, places="")
    assert guided.weight_wrapper_patches and not model.weight_wrapper_patches
    latent = {"samples": torch.zeros(2, 4, 8, 12), "noise_mask": INSIDE}
    assert bool(torch.isfinite(sample(parts, model, conditioning, latent_image=latent)).all())
    with pytest.raises(ValueError, match="moves the latent"):
        sample(parts, guided, compose(parts, **PAPER)[1], latent_image=latent)


def test_a_transformer_takes_a_noise_mask(model_of, clip_of, sample_transformer, run, small):
    model, clip = model_of("flux"), clip_of("flux")
    texts = {"prompt": "a red cat and two dogs", "concepts": "a red cat\ntwo dogs", "places": "left\nright"}
    composed, text, *_ = run("ComposeConcepts", model=model, clip=clip, **texts, **PAPER)
    assert not composed.weight_wrapper_patches
    latent = {"samples": small.latent("flux", (8, 12)), "noise_mask": INSIDE}
    assert bool(torch.isfinite(sample_transformer("flux", composed, text, latent_image=latent)).all())
