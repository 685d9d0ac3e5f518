import math
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.engine.trainee import Denoised
from concept_atelier.core.learn.methods.attencraft import (
    METHOD,
    AttenCraftSettings,
    Masks,
    attention_divergence,
    instance_loss,
)
from concept_atelier.core.learn.parts.tokens import TokenBank
from concept_atelier.core.masks.words import WordMasks

QUICK = AttenCraftSettings(steps=3, rate=1e-2, adapter_rate=1e-2, rank=2, downscale=2, temperature=0.1)


def masks_of(*columns, grid=(8, 12)):
    """(len + 1, *grid): blocks from the columns on, three wide, and the background."""
    masks = torch.zeros(len(columns), *grid)
    for mask, column in zip(masks, columns, strict=True):
        mask[2:6, column : column + 3] = 1
    return torch.cat([masks, 1 - masks.amax(0, keepdim=True)])


def found(masks, distinct=True):
    return WordMasks(masks.bool(), masks, torch.eye(masks[0].numel()), distinct)


def test_divergence_is_0_where_attention_is_the_mask_and_at_most_ln_2():
    masks = masks_of(1, 7)
    right = attention_divergence(3 + 5 * masks, masks, 0.05)
    wrong = attention_divergence(masks_of(7, 1), masks, 0.05)
    torch.testing.assert_close(right, torch.zeros(3), atol=1e-5, rtol=0)
    assert wrong[:2].tolist() == pytest.approx([math.log(2)] * 2, rel=1e-3)


def test_at_temperature_1_it_is_tiny_as_the_card_says():
    masks = masks_of(1, 7)
    wrong = masks_of(7, 1)
    assert attention_divergence(wrong, masks, 1.0)[0] < 0.1 * attention_divergence(wrong, masks, 0.1)[0]


class Predicting:
    """A trainee whose pass gives what the test says."""

    bank, grid = TokenBank(("a", "b"), {}), (8, 12)

    def __init__(self):
        self.backbone, self.asked = self, []
        self.start, self.bank = 0, TokenBank(("a", "b"), {})

    def tokenize(self, text, placeholders):
        return self

    def token(self, text, name):
        return (text.index(name),)

    def denoise(self, latents, texts, spots):
        self.asked.append((texts[0], len(spots)))
        maps = torch.rand(len(spots), 8, 12, generator=torch.Generator().manual_seed(0))
        return Denoised(torch.zeros_like(latents), torch.full_like(latents, 3.0), maps)


def test_denoising_sums_channels_and_averages_cells_and_context_brings_back_the_rest():
    trainee, latent, masks = Predicting(), torch.zeros(1, 4, 8, 12), masks_of(1, 7)
    settings = replace(QUICK, attention_weight=0.0)
    inside = 12 / 96
    assert float(instance_loss(trainee, latent, masks, (0,), settings)) == pytest.approx(4 * 9 * inside)
    whole = instance_loss(trainee, latent, masks, (0, 1), replace(settings, context=0.5))
    assert float(whole) == pytest.approx(4 * 9 * (0.5 * 2 * inside + 0.5))
    assert trainee.asked == [("a photo of <a>", 0), ("a photo of <a> and <b>", 0)]


def test_the_background_is_compared_as_well():
    trainee = Predicting()
    instance_loss(trainee, torch.zeros(1, 4, 8, 12), masks_of(1, 7), (1,), QUICK)
    assert trainee.asked == [("a photo of <b>", 2)]


def test_new_masks_are_taken_when_they_are_similar_and_complete():
    old = masks_of(1, 7)
    nudged, moved = old.clone(), masks_of(7, 1)
    nudged[0, 2, 1] = 0
    masks = Masks(old.clone())
    masks.refresh(found(moved), 0.8)
    masks.refresh(found(nudged, distinct=False), 0.8)
    assert masks.current.equal(old) and (masks.refreshed, masks.kept) == (0, 2)
    masks.refresh(found(nudged), 0.5)
    assert masks.current.equal(nudged) and (masks.refreshed, masks.kept) == (1, 2)


def test_masks_are_due_once_a_step_and_not_at_the_start():
    masks = Masks(masks_of(1))
    asked = [masks.is_due(step, 2) for step in (0, 0, 1, 2, 2, 3, 4)]
    assert asked == [False, False, False, True, False, False, True]
    assert not Masks(masks_of(1)).is_due(4, 0)


def test_every_token_learns(lab_backbone, picture, concepts):
    """The release's first fault: only the first token had a gradient."""
    settings = replace(QUICK, weight_decay=0.0, prior=0)
    start = METHOD.learn(lab_backbone, picture, concepts, replace(settings, steps=1, rate=1e-12, adapter_rate=1e-12))
    tokens = METHOD.learn(lab_backbone, picture, concepts, replace(settings, steps=6))
    for name in tokens.names:
        assert (tokens.vectors[name]["clip_l"] - start.vectors[name]["clip_l"]).abs().max() > 1e-3


def test_refreshes_are_counted(lab_backbone, picture, concepts):
    settings = replace(QUICK, refresh=1, min_mask_ssim=-1.0, margin=0.0)
    metadata = METHOD.learn(lab_backbone, picture, concepts, settings).metadata
    assert int(metadata["refreshed"]) + int(metadata["kept"]) == 2


def test_the_papers_values():
    paper = METHOD.preset("paper")
    assert (paper.steps, paper.rate, paper.adapter_rate, paper.flip) == (500, 1e-4, 1e-4, 0.0)
    assert (paper.refresh, paper.min_mask_ssim, paper.attention_weight, paper.prior) == (20, 0.8, 1.0, 200)
    assert (paper.word_settings.self_downscale, paper.word_settings.margin) == (2, 0.1)


@pytest.mark.parametrize("wrong", [{"context": 1.5}, {"temperature": 0.0}, {"refresh": -1}, {"margin": 1.0}], ids=str)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        AttenCraftSettings(**wrong)
