from dataclasses import replace

import pytest
import torch

from concept_atelier.core.attack.parts.relearning import denoising_loss, relearn
from concept_atelier.core.attack.run import attack


def test_training_changes_what_is_drawn_of_the_name(task):
    given = task(settings=replace(task().settings, relearn_rate=1e-2, relearn_rank=4))
    learnt, (first, *_, last) = relearn(given), given.detector.seen
    assert torch.equal(first, given.named()) and torch.equal(last, learnt.drawn)
    assert float((last - first).abs().mean()) > 1e-3


class Watched:
    """A backbone whose pictures are latents far from noise; it keeps what it is trained on, and its loss of denoising
    such latents under a text whenever it decodes a drawing."""

    def __init__(self, backbone, text):
        self.backbone, self.text, self.trained, self.losses = backbone, text, [], []
        self.latents = torch.full((8, 4, 4, 4), 5.0)

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def encode_image(self, picture):
        return self.latents[:1]

    def predict_target(self, latent, timestep, conditioning):
        if torch.is_grad_enabled():
            self.trained.append((latent, timestep))
        return self.backbone.predict_target(latent, timestep, conditioning)

    def decode_latent(self, latent):
        with torch.no_grad():
            text, generator = self.backbone.encode_text([self.text]), torch.Generator().manual_seed(7)
            self.losses.append(float(denoising_loss(self.backbone, self.latents, text, generator)))
        return self.backbone.decode_latent(latent)


def test_the_erased_model_learns_to_denoise_the_shown_pictures_under_the_name(task, lab_backbone):
    erased = Watched(lab_backbone, "a photo of a cat")
    how = replace(task().settings, draws=1, relearn_steps=10, relearn_every=10, relearn_rate=3e-2, relearn_rank=4)
    relearn(replace(task(pictures=torch.zeros(1, 3, 32, 32), settings=how), erased=erased))
    before, after = erased.losses
    assert after < 0.98 * before
    assert len(erased.trained) == 10
    for noisy, time in erased.trained:
        clean = lab_backbone.schedule.add_noise(erased.latents[: len(noisy)], torch.zeros_like(noisy), time)
        assert float((noisy - clean).square().mean()) < 2  # what is left is noise of at most unit variance


class Untrainable:
    """A model of whose attention no changes are learnt, as Lumina 2 inside ComfyUI."""

    def __init__(self, backbone):
        self.backbone = backbone

    def __getattr__(self, name):
        return getattr(self.backbone, name)

    def attention_weights(self):
        raise ValueError("attention weights cannot be trained")


def test_where_attention_cannot_be_trained_it_is_left_out_or_trains_where_text_enters(task):
    erased = Untrainable(task().erased)
    found = attack(replace(task(), erased=erased), ["names", "relearning"])
    assert [outcome.scenario.name for outcome in found.outcomes] == ["names"]
    assert "set relearn_layers=text" in found.left_out["relearning"]
    trained = replace(task().settings, relearn_layers="text", relearn_rate=1e-2)
    curves = [
        attack(replace(task(settings=trained), erased=one), ["relearning"]).outcomes[0]
        for one in (erased, task().erased)
    ]
    assert torch.equal(*(outcome.attempt.erased for outcome in curves))
    with pytest.raises(ValueError, match="relearn_layers must be one of"):
        replace(task().settings, relearn_layers="words")
