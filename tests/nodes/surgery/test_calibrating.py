"""Calibrate Skill over the lab model at random weights."""

import copy
from dataclasses import replace

import pytest
import torch

from concept_atelier.nodes import CalibrateSkill

TOUCHED = "up_blocks.1.attentions.1.transformer_blocks.0"
SMALL = "side=64, steps=3, batch=2, levels=1"


@pytest.fixture(scope="module")
def tuned(sockets):
    """A fine-tune of two projections of attention and one feed-forward weight."""
    made = torch.Generator().manual_seed(4)
    unet = copy.deepcopy(sockets["model"].unet)
    for layer in ("attn2.to_v", "attn1.to_out.0", "ff.net.2"):
        weight = unet.get_parameter(f"{TOUCHED}.{layer}.weight")
        weight.data = weight.data + 0.2 * torch.randn(weight.shape, generator=made)
    return replace(sockets["model"], unet=unet)


def pictures_of(count):
    return torch.rand(count, 64, 64, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def any_gain(monkeypatch):
    """Random weights denoise nothing, so that what the fine-tune gains on these pictures may lie below 0."""
    from concept_atelier.core.surgery import calibration

    monkeypatch.setattr(calibration._Probe, "check", lambda self: None)


def test_attention_is_trained_and_other_weights_keep_the_first_choice(call, sockets, tuned, any_gain):
    given = {"pictures": pictures_of(8), "prompts": "a cat", "share": 10.0, "settings": SMALL}
    skill, model, clip, report = call(CalibrateSkill, **sockets, tuned_model=tuned, **given)
    assert f"{TOUCHED}.ff.net.2.weight" in skill.changes and f"{TOUCHED}.attn2.to_v.weight" in skill.changes
    assert len(skill.sizes) == 3 and "attention projections" in report and clip is sockets["clip"]
    assert "Of what the fine-tune gains in denoising these pictures" in report
    assert model is not sockets["model"] and skill.metadata["method"] == "calibrated"
    again = call(CalibrateSkill, **sockets, tuned_model=tuned, **given)[0]
    assert all(torch.equal(one.index, again.changes[name].index) for name, one in skill.changes.items())


def test_the_report_says_what_the_skill_was_kept_for(call, sockets, tuned, any_gain):
    given = {"pictures": pictures_of(8), "prompts": "a cat", "share": 10.0, "settings": f"{SMALL}, goal=fine-tune"}
    skill, _, _, report = call(CalibrateSkill, **sockets, tuned_model=tuned, **given)
    assert "Of the way from the model's predictions" in report and skill.metadata["goal"] == "fine-tune"


def test_what_cannot_be_calibrated_is_refused(call, sockets, tuned):
    with pytest.raises(ValueError, match="8 to 64 pictures, got 2"):
        call(CalibrateSkill, **sockets, tuned_model=tuned, pictures=pictures_of(2))
    with pytest.raises(ValueError, match="one for each of the 8 pictures, got 2 lines"):
        call(CalibrateSkill, **sockets, tuned_model=tuned, pictures=pictures_of(8), prompts="a\nb")
    unet = copy.deepcopy(sockets["model"].unet)
    unet.get_parameter(f"{TOUCHED}.ff.net.2.weight").data += 0.1
    only = replace(sockets["model"], unet=unet)
    with pytest.raises(ValueError, match="no projection of attention"):
        call(CalibrateSkill, **sockets, tuned_model=only, pictures=pictures_of(8))
