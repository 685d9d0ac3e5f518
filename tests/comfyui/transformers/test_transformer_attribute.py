"""What words give, and where their attention goes, on transformers of every family: tiny models at random weights."""

import pytest
import torch

FAMILIES = ("flux", "flux2", "chroma", "z_image", "lumina2", "krea2", "qwen_image", "anima", "sd3")
TEXT = "a red square, a dog"


@pytest.fixture
def ask(model_of, clip_of, small, run, image):
    """Run a node that reads a picture and a text on a family."""

    def go(node, family, **given):
        parts = {"model": model_of(family), "clip": clip_of(family), "vae": small.vae_of(family)}
        return run(node, **parts, image=image, text=TEXT, seed=1, **given)

    return go


@pytest.fixture
def drawn(model_of, small, stock):
    """What the family's model draws."""

    def go(family):
        text = small.conditioning(family)
        given = {"model": model_of(family), "positive": text, "negative": text}
        sampling = {"seed": 5, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
        return stock("KSampler", **given, latent_image={"samples": small.latent(family)}, **sampling)[0]["samples"]

    return go


@pytest.mark.parametrize("family", FAMILIES)
def test_words_give_information_and_the_model_is_left_alone(ask, drawn, image, family):
    before = drawn(family)
    _, maps = ask("ShowWordInformation", family, words="square, dog", show="in the text", draws=2)
    assert maps.shape == (2, *image.shape[1:3]) and bool(maps.isfinite().all())
    assert not torch.equal(maps[0], maps[1])
    _, alone = ask("ShowWordInformation", family, words="dog", show="in the text", draws=2)
    assert torch.allclose(alone[0], maps[1], atol=1e-3)
    assert torch.equal(drawn(family), before)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_outside_a_mask_and_outside_the_rest_are_all_of_it(ask, drawn, image, family):
    before = drawn(family)
    mask = torch.zeros(1, *image.shape[1:3])
    mask[:, : image.shape[1] // 2] = 1
    share, heat = ask("AuditFocus", family, mask=mask, word="square", levels=2)[:2]
    assert 0 < share < 1 and heat.ndim == 4
    assert ask("AuditFocus", family, mask=1 - mask, word="square", levels=2)[0] == pytest.approx(1 - share, abs=1e-4)
    assert ask("AuditFocus", family, mask=mask, word="dog", levels=2)[0] != share
    assert torch.equal(drawn(family), before)
