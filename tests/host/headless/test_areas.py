"""CONDITIONINGs that hold in parts of the picture, sampled without ComfyUI."""

import pytest
import torch

from concept_atelier.core.attention.record import AttentionRecorder
from concept_atelier.core.attention.selection import Selection
from concept_atelier.core.compose.parts.areas import Area
from concept_atelier.host.headless.sampling import sample
from concept_atelier.host.shared.area_conditioning import area_entries
from concept_atelier.host.shared.conditioning import to_comfy
from concept_atelier.host.shared.handles import Capture

LEFT = (0.0, 0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def texts(lab_backbone):
    with torch.no_grad():
        return {text: lab_backbone.encode_text([text]) for text in ("a cat on blue", "a rocket", "")}


@pytest.fixture(scope="module")
def noised():
    """(1, 4, 16, 16) to start from as it is."""
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def clean(lab_model, texts, noised):
    """What a single step from the noised latent, or from a part of it, makes of a CONDITIONING."""

    def go(positive, part=slice(None), cfg=1.0, negative=""):
        latent = {"samples": noised[..., part]}
        return sample(
            lab_model, positive, to_comfy(texts[negative]), latent, seed=0, steps=1, cfg=cfg, add_noise=False
        )["samples"]

    return go


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_an_area_is_mixed_into_the_prompt_where_it_lies(clean, texts, cfg):
    """The negative text predicts the area once more, so that guidance mixes as the predictions do."""
    prompt, own = texts["a cat on blue"], texts["a rocket"]
    both = clean(area_entries(prompt, [Area(own, LEFT, strength=2.0)], False), cfg=cfg)
    whole = clean(to_comfy(prompt), cfg=cfg)
    left = clean(to_comfy(own), slice(0, 8), cfg=cfg)
    weight = 2.0 * torch.tensor([1, 1, 1, 1, 1, 1, 1, 0.5])
    torch.testing.assert_close(both[..., 8:], whole[..., 8:], rtol=1e-3, atol=1e-3)
    expected = (whole[..., :8] + weight * left) / (1 + weight)
    torch.testing.assert_close(both[..., :8], expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(both[..., :8], whole[..., :8], atol=1e-2)


def test_an_area_counts_in_its_part_of_denoising(lab_model, texts):
    def drawn(*areas):
        entries = area_entries(texts["a cat on blue"], areas, False)
        latent = {"samples": torch.zeros(1, 4, 8, 8)}
        how = {"seed": 1, "steps": 3, "cfg": 2.0, "scheduler": "simple"}
        return sample(lab_model, entries, to_comfy(texts[""]), latent, **how)["samples"]

    own = texts["a rocket"]
    plain, late = drawn(), drawn(Area(own, LEFT, start=0.999))
    torch.testing.assert_close(late, plain, rtol=1e-4, atol=1e-4)
    first, always = drawn(Area(own, LEFT, end=0.2)), drawn(Area(own, LEFT))
    assert not torch.allclose(first, plain, atol=1e-3) and not torch.allclose(first, always, atol=1e-3)
    assert torch.equal(always, drawn(Area(own, LEFT)))


def test_a_captured_model_takes_no_areas(lab_model, texts):
    captured = lab_model.with_capture(Capture.into(AttentionRecorder(Selection())))
    entries = area_entries(texts["a cat on blue"], [Area(texts["a rocket"], LEFT)], False)
    with pytest.raises(ValueError, match="parts of the picture, .* without Capture Attention"):
        sample(captured, entries, to_comfy(texts[""]), {"samples": torch.zeros(1, 4, 8, 8)}, seed=1, steps=1)
