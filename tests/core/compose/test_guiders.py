import pytest
import torch

from concept_atelier.core.compose.guiders import GUIDERS, ClassifierFree


def test_classifier_free_guidance_walks_from_the_negative_past_the_positive():
    negative, positive = torch.rand(2, 4, 3, 3), torch.rand(2, 4, 3, 3)
    torch.testing.assert_close(ClassifierFree(0.0).combine(negative, positive), negative)
    torch.testing.assert_close(ClassifierFree(1.0).combine(negative, positive), positive)
    torch.testing.assert_close(ClassifierFree(4.0).combine(negative, positive), 4 * positive - 3 * negative)


@pytest.mark.parametrize(("scale", "needed"), [(1.0, False), (1.0 + 1e-12, False), (0.0, True), (7.5, True)])
def test_the_negative_prompt_plays_no_part_at_scale_1(scale, needed):
    assert ClassifierFree(scale).needs_negative is needed


@pytest.mark.parametrize("name", GUIDERS)
def test_every_guider_is_linear_so_that_it_serves_noise_and_clean_latents(name, generator):
    guider = GUIDERS[name](3.0)
    noise, clean = torch.randn(2, 1, 4, 3, 3, generator=generator)
    other, cleaner = torch.randn(2, 1, 4, 3, 3, generator=generator)
    mixed = guider.combine(0.3 * noise + 0.7 * clean, 0.3 * other + 0.7 * cleaner)
    torch.testing.assert_close(mixed, 0.3 * guider.combine(noise, other) + 0.7 * guider.combine(clean, cleaner))
