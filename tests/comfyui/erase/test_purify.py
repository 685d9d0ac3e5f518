"""Purify Picture inside ComfyUI, with small random-weight models."""

import pytest
import torch

EVERYWHERE = "present=-100, against=100, threshold=0.6, draws=1"


@pytest.fixture
def picture():
    return torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def purify(run, picture):
    def go(parts, **changes):
        given = {**parts, "image": picture, "concepts": "cat", "steps": 2, "settings": EVERYWHERE, **changes}
        return run("PurifyPicture", **given)

    return go


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
@pytest.mark.parametrize("method", ["none", "irece", "adavd", "guidance"])
def test_the_place_is_drawn_anew_and_the_rest_stays_to_the_bit(parts_of, purify, picture, family, method):
    drawn, mask = list(purify(parts_of(family), method=method))[:2]
    assert drawn.shape == picture.shape and 0 < float(mask.mean()) < 1
    near = torch.nn.functional.max_pool2d(mask, 9, 1, 4) > 0
    assert torch.equal(drawn[~near], picture[~near])
    assert torch.isfinite(drawn).all() and (drawn - picture)[mask > 0].abs().mean() > 0.02


def test_an_erased_model_draws_where_the_original_finds_and_both_stay_as_they_were(parts_of, purify, run, picture):
    parts = parts_of("sd15")
    erased = run("EraseConcepts", model=parts["model"], clip=parts["clip"], concepts="cat", damping=0.01)[0]
    given = {**parts, "model": erased}
    first = purify(given, original=parts["model"], guidance=4.0, prompt="a dog")
    assert not torch.equal(first[0], picture)
    again = purify(given, original=parts["model"], guidance=4.0, prompt="a dog")
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert torch.equal(purify(given, settings="present=100, draws=1")[0], picture)
