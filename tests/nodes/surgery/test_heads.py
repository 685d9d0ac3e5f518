"""Scout Heads and Apply Head Offsets over the lab model at random weights."""

import pytest
import torch

from concept_atelier.nodes import ApplyHeadOffsets, LoadSkillPatch, SaveSkillPatch, ScoutHeads, StitchSkills

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
    model, skill = call(ApplyHeadOffsets, model=sockets["model"], offsets=scouted[0], heads=4, strength=8.0)
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
