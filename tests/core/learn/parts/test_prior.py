import pytest
import torch

from concept_atelier.core.learn.parts.prior import draw_prior

LIKE = torch.zeros(1, 4, 8, 12)


def test_a_picture_depends_on_its_seed_and_text_alone(lab_backbone):
    many = draw_prior(lab_backbone, ["a cat", "a dog"], 5, LIKE, steps=1, seed=7)
    few = draw_prior(lab_backbone, ["a cat", "a dog"], 2, LIKE, steps=1, seed=7)
    assert many.latents.shape == (5, 4, 8, 12) and many.texts == ("a cat", "a dog", "a cat", "a dog", "a cat")
    torch.testing.assert_close(many.latents[:2], few.latents, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(many.latents[0], many.latents[2])
    assert not many.latents.requires_grad


def test_every_picture_is_picked_and_comes_with_its_text(lab_backbone, generator):
    prior = draw_prior(lab_backbone, ["a cat", "a dog"], 3, LIKE, steps=1)
    seen = set()
    for _ in range(40):
        latent, text = prior.pick(generator)
        index = next(i for i, own in enumerate(prior.latents) if own.equal(latent[0]))
        assert text == prior.texts[index]
        seen.add(index)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize(("texts", "count"), [([], 3), (["a cat"], 0)])
def test_nothing_to_draw_is_refused(lab_backbone, texts, count):
    with pytest.raises(ValueError, match="need a text and a number"):
        draw_prior(lab_backbone, texts, count, LIKE)
