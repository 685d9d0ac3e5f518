"""Purify Picture: what it draws anew, what it leaves, and what it says."""

import pytest
import torch

from concept_atelier.core.erase.guards.guard import GuardRun
from concept_atelier.core.explain.steering import Steering
from concept_atelier.host.adapters import with_guard
from concept_atelier.nodes import GuardAgainstConcepts, PurifyPicture, RecordWhileSampling

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


def test_the_guard_of_a_model_acts_and_a_second_one_is_refused(call, purify, sockets):
    given = {"clip": sockets["clip"], "concepts": "cat", "preset": "small"}
    guarded = call(GuardAgainstConcepts, model=sockets["model"], method="adavd", **given)[0]
    parts = {**sockets, "model": guarded}
    assert torch.equal(purify(parts)[0], purify(method="adavd")[0])
    assert not torch.equal(purify(parts)[0], purify()[0])
    with pytest.raises(ValueError, match="model has a guard .*; set method to none"):
        purify(parts, method="guidance")
    early = call(GuardAgainstConcepts, model=sockets["model"], method="irece", settings="start=0, end=0.1", **given)[0]
    with pytest.raises(ValueError, match="IRECE acts at none of the noise levels"):
        purify({**sockets, "model": early})


def test_a_guard_that_ends_in_the_middle_of_denoising_acts_in_the_first_half_of_the_steps(purify):
    """The preset paper of IRECE ends at half, and a picture that gets less noise is drawn from behind it."""
    of_paper = {"preset": "paper", "steps": 8}
    assert not torch.equal(purify(method="irece", **of_paper)[0], purify(**of_paper)[0])


def test_concepts_are_read_by_the_text_encoder_before_the_erasure(purify, sockets, erase):
    """A text encoder from which a concept was erased says no more where it is."""
    changed = erase(method="hirm", damping=0.5, settings="steps=30, rate=0.1")[2]
    parts = {**sockets, "clip": changed}
    assert torch.equal(purify(parts, original_clip=sockets["clip"])[1], purify()[1])
    assert not torch.equal(purify(parts)[1], purify()[1])


def test_steering_that_goes_with_the_model_acts_as_any_guard_does(purify, sockets, monkeypatch):
    """Steer Ingredients puts its run into the MODEL in the same way."""
    begun = []
    guard = Steering(None, (0,), "add", None, None)
    monkeypatch.setattr(Steering, "check", lambda self, backbone: None)
    monkeypatch.setattr(Steering, "begin", lambda self, *models: begun.append(models) or GuardRun())
    purify({**sockets, "model": with_guard(sockets["model"], guard)})
    assert len(begun) == 1


def test_a_model_that_records_is_purified_as_any_other(call, purify, sockets):
    model, recording = call(RecordWhileSampling, model=sockets["model"], noise="0.1")
    assert torch.equal(purify({**sockets, "model": model})[0], purify()[0])
    assert len(recording.runs) == 1
