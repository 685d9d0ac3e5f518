"""Stage 1 on a whole model (random weights: every interface, no knowledge)."""

from dataclasses import replace

import pytest
import torch
from torch.overrides import TorchFunctionMode

from concept_atelier.core.localize.given_masks import localize_masks
from concept_atelier.core.localize.methods.diffseg import METHOD as DIFFSEG
from concept_atelier.core.localize.parts.observation import observe
from concept_atelier.core.localize.parts.pipeline import localize
from concept_atelier.core.localize.parts.settings import PAPER, SMALL_GRID

QUICK = replace(SMALL_GRID, noise_draws=1)


def picture(height, width, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(128, 128), (64, 96), (200, 24), (8, 8), (13, 70)])
@pytest.mark.parametrize("preset", [PAPER, QUICK])
def test_any_picture_gives_sound_concepts(size, preset, lab_backbone):
    concepts = localize(lab_backbone, picture(*size), preset)
    assert concepts.picture_size == size
    assert concepts.grid == (size[0] // 8, size[1] // 8)
    assert len(concepts) >= 1 and concepts.masks.any(2).any(1).all()
    assert (concepts.masks.sum(0) <= 1).all()
    assert torch.allclose(concepts.targets.sum((1, 2)), torch.ones(len(concepts)), atol=1e-5)
    assert (concepts.targets >= 0).all()


def test_a_long_thin_picture_is_clustered_on_fewer_cells(lab_backbone):
    seen = observe(lab_backbone, picture(1600, 20), replace(QUICK, max_cells=150))
    assert seen.grid == (100, 1)
    assert torch.allclose(seen.attention.sum(1), torch.ones(100), atol=1e-5)


def test_a_plain_picture_is_no_trouble(lab_backbone):
    assert len(localize(lab_backbone, torch.zeros(1, 3, 64, 64), PAPER)) >= 1


def test_the_seed_is_that_of_the_noise(lab_backbone):
    look = [observe(lab_backbone, picture(64, 64), QUICK, seed).attention for seed in (1, 1, 2)]
    assert torch.equal(look[0], look[1]) and not torch.equal(look[0], look[2])
    still = [observe(lab_backbone, picture(64, 64), PAPER, seed).attention for seed in (1, 2)]
    assert torch.equal(*still)


def test_draws_of_noise_are_averaged(lab_backbone):
    """With one map per grid and no renormalisation the mean of draws is between the draws."""
    settings = replace(QUICK, saliency="none", timestep=500)
    one, two = (observe(lab_backbone, picture(64, 64), replace(settings, noise_draws=n), 0).attention for n in (1, 2))
    assert not torch.equal(one, two)
    assert two.std() < one.std() + 1e-6


def test_the_prompt_reaches_the_end_of_text_map(lab_backbone):
    settings = replace(PAPER, saliency="end_of_text")
    empty, prompted = (observe(lab_backbone, picture(64, 64), replace(settings, prompt=p)) for p in ("", "a cat"))
    assert not torch.equal(empty.saliency, prompted.saliency)


def test_the_model_is_as_before_and_gives_the_same(lab_backbone, lab_modules):
    hooks = [len(m._forward_hooks) for m in lab_modules.unet.modules()]
    latent, text = torch.ones(1, 4, 8, 8), lab_backbone.encode_text([""])
    with torch.no_grad():
        before = lab_backbone.predict_noise(latent, torch.tensor([5]), text)
        localize(lab_backbone, picture(64, 64), QUICK)
        assert torch.equal(before, lab_backbone.predict_noise(latent, torch.tensor([5]), text))
    assert hooks == [len(m._forward_hooks) for m in lab_modules.unet.modules()]


@pytest.mark.parametrize(("draws", "passes"), [(0, 1), (3, 3)])
def test_every_pass_is_reported_and_the_rest_as_one(lab_backbone, draws, passes):
    recorded, settings = [], replace(QUICK, noise_draws=draws)
    localize(lab_backbone, picture(64, 64), settings, on_step=lambda *step: recorded.append(step))
    assert recorded == [(done, passes + 1) for done in range(passes + 2)]
    recorded.clear()
    localize_masks(
        lab_backbone, picture(64, 64), torch.ones(1, 64, 64), settings, on_step=lambda *s: recorded.append(s)
    )
    assert recorded == [(done, passes + 1) for done in range(passes + 2)]


def test_it_stops_between_two_passes_and_leaves_the_model_as_it_was(lab_backbone, lab_modules):
    class Enough(Exception): ...

    ran, hooks = [], [len(m._forward_hooks) for m in lab_modules.unet.modules()]

    def stop(done, total):
        if done == 2:
            raise Enough

    with lab_backbone.tap_attention(ran.append, lab_backbone.attention_sites()[:1]), pytest.raises(Enough):
        localize(lab_backbone, picture(64, 64), replace(QUICK, noise_draws=4), on_step=stop)
    assert len(ran) == 2
    assert hooks == [len(m._forward_hooks) for m in lab_modules.unet.modules()]


def test_a_missing_grid_is_replaced_and_reported(lab_backbone):
    assert any("1/16" in n for n in observe(lab_backbone, picture(64, 64), replace(PAPER, cross_downscale=16)).notes)
    assert any("small for this model" in n for n in observe(lab_backbone, picture(32, 32), QUICK).notes)


def test_given_masks_get_targets_from_attention(lab_backbone):
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, :32, :32], masks[1, 32:, 40:] = True, True
    concepts = localize_masks(lab_backbone, picture(64, 96), masks, QUICK, names=["cat", "dog"])
    assert concepts.names == ("cat", "dog") and concepts.grid == (8, 12)
    assert concepts.masks[0].sum() == 16
    assert (concepts.targets > 0).float().mean() > 0.9  # attention, not the mask
    with pytest.raises(ValueError, match="mask 2 is empty"):
        localize_masks(lab_backbone, picture(64, 96), masks & torch.tensor([True, False])[:, None, None], QUICK)


def test_bad_pictures_and_settings_are_refused(lab_backbone):
    broken = picture(64, 64)
    broken[0, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        localize(lab_backbone, broken)
    for shape in ((2, 3, 16, 16), (1, 4, 16, 16), (1, 1, 16, 16), (3, 16, 16)):
        with pytest.raises(ValueError, match="one RGB picture"):
            localize(lab_backbone, torch.zeros(shape))
    with pytest.raises(ValueError):
        localize(lab_backbone, picture(1, 1))
    with pytest.raises(ValueError, match="below the model's 1000"):
        localize(lab_backbone, picture(16, 16), replace(PAPER, timestep=1000))


class Travels(TorchFunctionMode):
    """Notes how many numbers go to the CPU at once, wherever the model is."""

    def __init__(self):
        super().__init__()
        self.numbers = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        targets = [*args[1:], *(kwargs or {}).values()]
        to_cpu = func is torch.Tensor.to and any(str(target) == "cpu" for target in targets)
        if to_cpu or func in (torch.Tensor.cpu, torch.Tensor.tolist, torch.Tensor.numpy):
            self.numbers.append(args[0].numel())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("preset", [PAPER, QUICK, DIFFSEG.preset("small")])
def test_no_large_map_travels_to_the_cpu(preset, lab_backbone):
    """Attention has 256 x 256 numbers here. Masks, targets, labels and the encoded text leave the model's device."""
    with Travels() as seen:
        concepts = localize(lab_backbone, picture(128, 128), preset)
        localize_masks(lab_backbone, picture(128, 128), torch.ones(128, 128), preset)
    assert max(seen.numbers) < 256 * 256 / 2
    assert concepts.targets.numel() in seen.numbers
