"""LoRA-Composer's guidance: which noise is put into a region, and when the latent stops to move."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.compose.composer import leave
from concept_atelier.core.compose.composition import Concept, compose
from concept_atelier.core.compose.parts.region_guidance import RegionGuidance
from concept_atelier.core.compose.registry import METHODS

CORNER = torch.zeros(8, 8)
CORNER[5:, 5:] = 1


def guided(backbone, masks=(CORNER, 1 - CORNER), **settings):
    texts = zip(("a cat", "a rocket"), masks, strict=True)
    composition = compose(backbone, "a cat and a rocket", [Concept(*one) for one in texts])
    return RegionGuidance(composition, replace(METHODS["lora_composer"].preset("small"), **settings), leave)


def alike(one, other):
    """Pearson's correlation, which the mean and spread of a whole latent do not change."""
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def test_a_region_gets_the_part_of_the_noise_that_its_words_attend_to_most(lab_backbone, generator):
    """By trying every window of the region's size."""
    guidance, latent = guided(lab_backbone, renew=True), torch.randn(1, 4, 8, 8, generator=generator)
    time = torch.tensor([999])
    with torch.no_grad():
        heat = guidance._maps(lab_backbone, latent, time, False)[0][0][0].sum(0)  # (8, 8) of the words of the cat
    assert heat.shape == (8, 8)
    sums = {(y, x): float(heat[y : y + 3, x : x + 3].sum()) for y in range(6) for x in range(6)}
    renewed = guidance.step(lab_backbone, latent, time, 0.0)[..., 5:, 5:]
    found = {(y, x): alike(renewed, latent[..., y : y + 3, x : x + 3]) for y, x in sums}
    assert max(found, key=found.get) == max(sums, key=sums.get)
    assert max(found.values()) == pytest.approx(1, abs=1e-4)


def test_a_picture_no_longer_moves_once_its_loss_has_risen(lab_backbone, monkeypatch):
    """From a tenth of denoising on, for each picture by itself, and for good; the gradient is one."""
    shares = (0.0, 0.05, 0.2, 0.3, 0.4)
    losses = torch.tensor([[5.0, 6.0, 4.0, 3.0, 2.0], [5.0, 4.0, 4.5, 3.0, 2.0], [5.0, 4.0, 3.0, 3.5, 1.0]])
    expected = [[True] * 5, [True, True, False, False, False], [True, True, True, False, False]]
    guidance = guided(lab_backbone, guidance=1.0)
    step = iter(losses.T)
    monkeypatch.setattr(
        guidance, "_losses", lambda backbone, moved, time, share: moved.flatten(1).sum(1) * 1.0 + next(step)
    )
    latent = torch.zeros(3, 4, 8, 8)
    moved = []
    for share in shares:
        after = guidance.step(lab_backbone, latent, torch.full((3,), 500), share)
        wanted = torch.full_like(after[0], -((1 - share / 2) ** 0.5))
        assert all(torch.equal(one, latent[0]) or torch.allclose(one, wanted) for one in after)
        moved.append((after != latent).flatten(1).any(1).tolist())
    assert torch.tensor(moved).T.tolist() == expected


def test_where_all_pictures_have_ended_no_pass_is_made(lab_backbone, monkeypatch):
    guidance, made = guided(lab_backbone, guidance=1.0), []

    def rising(backbone, moved, time, share):
        made.append(share)
        return moved.flatten(1).sum(1) + 10.0 * len(made)

    monkeypatch.setattr(guidance, "_losses", rising)
    latent = torch.zeros(1, 4, 8, 8)
    moved = [
        not torch.equal(guidance.step(lab_backbone, latent, torch.tensor([500]), at), latent) for at in (0.2, 0.3, 0.4)
    ]
    assert moved == [True, False, False] and made == [0.2, 0.3]
