"""Scout Heads, Train Head Offsets and Apply Head Offsets over the lab model at random weights."""

import pytest
import torch

from concept_atelier.nodes import (
    ApplyHeadOffsets,
    LoadSkillPatch,
    SaveSkillPatch,
    ScoutHeads,
    StitchSkills,
    TrainHeadOffsets,
)

SMALL = "draws=1, steps=2, side=64"


@pytest.fixture(scope="module")
def scouted(call, sockets):
    given = {"model": sockets["model"], "clip": sockets["clip"]}
    return call(ScoutHeads, **given, concept="cat", others="dog, house", settings=SMALL)


def test_heads_are_mapped_and_ranked(scouted):
    offsets, page, report = scouted
    assert page.ndim == 4 and report.count("standard deviations") == 8
    assert "KB at 16 bits" in report and len(offsets.best(3)) == 3


def test_offsets_are_a_patch_that_a_file_of_kilobytes_brings_back(call, sockets, scouted, draw):
    plain = draw()["samples"]
    given = {"model": sockets["model"], "offsets": scouted[0], "strength": 8.0}
    model, skill, clip = call(ApplyHeadOffsets, **given, heads=4, clip=sockets["clip"])
    assert clip is sockets["clip"]
    changed = draw(model=model)["samples"]
    assert not torch.equal(changed, plain) and torch.equal(draw()["samples"], plain)
    assert all(name.endswith("to_out.0.bias") for name in skill.changes)
    name = call(SaveSkillPatch, skill=skill, name="heads", precision="exact")[0]
    again = call(StitchSkills, model=sockets["model"], skill=call(LoadSkillPatch, name=name)[0])[0]
    assert torch.equal(draw(model=again)["samples"], changed)
    none = call(ApplyHeadOffsets, model=sockets["model"], offsets=scouted[0], strength=0.0)[0]
    assert torch.equal(draw(model=none)["samples"], plain)


def test_another_model_is_refused(call, transformer, scouted):
    with pytest.raises(ValueError, match="are not in this model"):
        call(ApplyHeadOffsets, model=transformer["model"], offsets=scouted[0])


def test_offsets_of_the_text_encoder_change_what_prompts_say(call, sockets, encode):
    given = {"model": sockets["model"], "clip": sockets["clip"]}
    offsets, page, report = call(ScoutHeads, **given, concept="cat", others="dog, house", heads_of="text encoder")
    assert page.ndim == 4 and "clip_l.layers.0" in report.replace("layers.1", "layers.0")
    model, skill, clip = call(ApplyHeadOffsets, **given, offsets=offsets, heads=2)
    assert model is sockets["model"] and all(name.startswith("text_encoders.") for name in skill.changes)

    def context(one):
        from concept_atelier.host.adapters import backbone_of

        return backbone_of(clip=one).encode_text(["a dog"]).context

    assert not torch.equal(context(clip), context(sockets["clip"]))
    with pytest.raises(ValueError, match="connect the CLIP"):
        call(ApplyHeadOffsets, model=sockets["model"], offsets=offsets)


def test_offsets_are_trained_on_pictures_and_applied(call, sockets, image, draw):
    how = {"heads": 2, "steps": 2, "settings": "choosing=2, side=64, batch=2", "keep_every": 0}
    offsets, page, report = call(TrainHeadOffsets, **sockets, pictures=image, prompts="a cat", **how)
    assert page.ndim == 4 and "root mean square" in report and offsets.concept == "cat"
    plain = draw()["samples"]
    model = call(ApplyHeadOffsets, model=sockets["model"], offsets=offsets, heads=2, strength=9.0)[0]
    assert not torch.equal(draw(model=model)["samples"], plain) and torch.equal(draw()["samples"], plain)
    with pytest.raises(ValueError, match="one prompt, or one for each of the 1 pictures"):
        call(TrainHeadOffsets, **sockets, pictures=image, prompts="a cat\na dog", **how)
