"""Purify Picture: what it draws anew, what it leaves, and what it says."""

import pytest
import torch

from concept_atelier.nodes import PurifyPicture

EVERYWHERE = "present=-100, against=100, threshold=0.6, draws=1"


@pytest.fixture
def purify(call, sockets, image):
    def go(parts=sockets, **changes):
        given = {**parts, "image": image, "concepts": "cat", "steps": 2, "settings": EVERYWHERE, **changes}
        return call(PurifyPicture, **given)

    return go


@pytest.mark.parametrize("method", ["none", "irece", "adavd", "guidance"])
def test_what_is_found_is_drawn_anew_and_the_rest_stays_to_the_bit(purify, image, hooks_of, method):
    out = purify(method=method)
    drawn, mask = out[0], out[1]
    assert drawn.shape == image.shape and mask.shape == image.shape[:3] and 0 < float(mask.mean()) < 1
    near = torch.nn.functional.max_pool2d(mask, 9, 1, 4) > 0  # half a cell around the mask
    assert torch.equal(drawn[~near], image[~near])
    assert (drawn - image)[mask > 0].abs().mean() > 0.05
    assert "cat found (presence " in out.ui["text"][0] and hooks_of() == 0


def test_what_is_not_found_leaves_the_picture_as_it_is(purify, image):
    out = purify(settings="present=100, draws=1")
    assert torch.equal(out[0], image) and not out[1].any()
    assert "not found" in out.ui["text"][0] and "left as it is" in out.ui["text"][0]


def test_a_mask_says_where_and_is_stretched_to_the_picture(purify, image):
    half = torch.zeros(1, 4, 6)
    half[..., 3:] = 1
    out = purify(mask=half)
    assert float(out[1][..., 48:].min()) == 1 and float(out[1][..., :48].max()) == 0
    assert torch.equal(out[0][..., :44, :], image[..., :44, :]) and "found" not in out.ui["text"][0]
    two = torch.cat([image, image.flip(2)])
    with pytest.raises(ValueError, match="2 pictures and 3 masks; give one for each picture, or one for all"):
        purify(image=two, mask=half.expand(3, -1, -1))


def test_a_batch_is_as_its_pictures_and_the_seed_decides(purify, image):
    pair = torch.cat([image, image])
    first, again, other = (purify(image=pair, seed=seed)[0] for seed in (0, 0, 7))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first[0], first[1])
    assert torch.equal(purify(seed=0)[0][0], first[0])


def test_it_draws_on_a_flow_and_from_inverted_noise(purify, transformer, image):
    for inverted in (False, True):
        out = purify(transformer, inverted=inverted, noise=0.5)
        assert torch.isfinite(out[0]).all() and not torch.equal(out[0], image)


def test_an_original_finds_what_the_erased_model_no_longer_knows(purify, sockets, erase):
    changed = erase()[0]
    found = [purify({**sockets, "model": changed}, **more)[1] for more in ({"original": sockets["model"]}, {})]
    assert torch.equal(found[0], purify()[1]) and found[1].shape == found[0].shape


def test_what_cannot_be_is_refused(purify, sockets):
    with pytest.raises(ValueError, match="DVE guards flow models alone"):
        purify(method="dve")
    with pytest.raises(ValueError, match="expected at least 0.05"):
        purify(noise=0.0)
    with pytest.raises(ValueError, match="has no setting 'wrong'"):
        purify(settings="wrong=1")
    assert PurifyPicture.validate_inputs(concepts=" ") is not True
