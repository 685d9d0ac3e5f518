"""Skills from a fine-tune to a stitched model, over the lab model at random weights."""

import copy
from dataclasses import replace

import pytest
import torch

from concept_atelier.nodes import (
    DifferenceOfSkills,
    LoadSkillPatch,
    LocalizeSkill,
    SaveSkillPatch,
    SkillOverlap,
    StitchSkills,
    SubtractSkill,
)

TOUCHED = "up_blocks.1.attentions.1.transformer_blocks.0.attn2"


def fine_tune(sockets, seed, layers=("to_k", "to_v")):
    """MODEL and CLIP with some weights trained on, as another checkpoint has them."""
    made = torch.Generator().manual_seed(seed)
    unet = copy.deepcopy(sockets["model"].unet)
    text = copy.deepcopy(sockets["clip"].encoders["clip_l"].model)
    moved = [unet.get_parameter(f"{TOUCHED}.{layer}.weight") for layer in layers]
    moved.append(next(weight for name, weight in text.named_parameters() if name.endswith("mlp.fc1.weight")))
    for weight in moved:
        weight.data = weight.data * 0.9 + 0.1 * torch.randn(weight.shape, generator=made)
    encoder = replace(sockets["clip"].encoders["clip_l"], model=text)
    return {
        "tuned_model": replace(sockets["model"], unet=unet),
        "tuned_clip": replace(sockets["clip"], encoders={"clip_l": encoder}),
    }


@pytest.fixture(scope="module")
def tuned(sockets):
    return fine_tune(sockets, 1)


@pytest.fixture(scope="module")
def given(sockets):
    return {"model": sockets["model"], "clip": sockets["clip"]}


@pytest.fixture(scope="module")
def localized(call, given, tuned):
    return call(LocalizeSkill, **given, **tuned, share=10.0)


@pytest.fixture(scope="module")
def skill(localized):
    return localized[0]


@pytest.fixture(scope="module")
def other(call, given, sockets):
    return call(LocalizeSkill, **given, **fine_tune(sockets, 2, ("to_v", "to_q")), share=10.0)[0]


def weights_of(model, clip):
    from concept_atelier.host.adapters import weights_of

    return {name: weight.clone() for name, weight in weights_of(model, clip).items()}


def same(one, other):
    return all(torch.equal(weight, other[name]) for name, weight in one.items()) and one.keys() == other.keys()


def test_a_tenth_of_the_changed_weights_is_kept_and_nothing_else_changes(skill, localized, given):
    assert skill.share == pytest.approx(0.1, abs=1e-4) and skill.text and skill.family == "lab"
    before, after = weights_of(**given), weights_of(localized[1], localized[2])
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert changed == set(skill.changes) and len(changed) == 3
    assert "3 weights" in str(localized.ui["text"])


def test_the_whole_skill_is_the_fine_tune_and_no_skill_the_model_bit_for_bit(call, given, tuned):
    whole = call(LocalizeSkill, **given, **tuned, share=100.0)
    assert same(weights_of(whole[1], whole[2]), weights_of(tuned["tuned_model"], tuned["tuned_clip"]))
    none = call(LocalizeSkill, **given, **tuned, share=0.0)
    assert same(weights_of(none[1], none[2]), weights_of(**given))
    back = call(SubtractSkill, model=tuned["tuned_model"], clip=tuned["tuned_clip"], skill=whole[0])
    near = weights_of(back[0], back[1])
    for name, weight in weights_of(**given).items():
        torch.testing.assert_close(near[name], weight, rtol=0, atol=1e-6)


def test_stitched_skills_draw_otherwise_and_the_model_stays(call, given, skill, other, draw):
    plain = draw()["samples"]
    model, joined, clip = call(StitchSkills, **given, skill=skill, skill_2=other, strength_2=0.5)
    assert len(joined) <= len(skill) + len(other) and clip is not given["clip"]
    assert not torch.equal(draw(model=model)["samples"], plain)
    assert torch.equal(draw()["samples"], plain)


@pytest.mark.parametrize("slot", ["", "_2", "_3", "_4"])
def test_each_skill_counts_by_its_own_strength(call, given, skill, other, slot):
    """A first skill of strength 0 counts as not there."""
    slots = {"skill": skill, "strength": 0.0} | {f"skill{slot}": other, f"strength{slot}": 0.5}
    joined = call(StitchSkills, **given, **slots)[1]
    assert joined.changes.keys() == other.changes.keys()
    for name, change in other.changes.items():
        torch.testing.assert_close(joined.changes[name].values, 0.5 * change.values)


@pytest.mark.parametrize(("rule", "share"), [("average", 0.75), ("largest", 1.0), ("priority", 0.5), ("sum", 1.5)])
def test_the_rule_decides_where_skills_overlap(call, given, skill, rule, share):
    """A skill at half its strength, and the same one at full strength."""
    slots = {"skill": skill, "strength": 0.5, "skill_2": skill, "strength_2": 1.0}
    joined = call(StitchSkills, **given, **slots, overlap=rule)[1]
    for name, change in skill.changes.items():
        torch.testing.assert_close(joined.changes[name].values, share * change.values)


def test_half_a_subtraction_goes_half_the_way(call, given, skill):
    def moved(strength):
        model, clip = call(SubtractSkill, **given, skill=skill, strength=strength)
        after = weights_of(model, clip)
        return {name: after[name] - weight for name, weight in weights_of(**given).items() if name in skill.changes}

    whole = moved(1.0)
    for name, half in moved(0.5).items():
        torch.testing.assert_close(2 * half, whole[name], rtol=1e-3, atol=1e-5)
        assert float(whole[name].abs().max()) > 0


def test_weights_to_skip_are_left_alone(call, given, tuned, skill):
    found = call(LocalizeSkill, **given, **tuned, share=10.0, skip="to_k")[0]
    assert {name for name in skill.changes if "to_k" not in name} == set(found.changes) != set(skill.changes)


def test_the_rounding_of_a_file_is_no_skill_unless_asked_for(call, given):
    """Two weights in 16 bits, of which one was trained on before."""
    unet, names = copy.deepcopy(given["model"].unet), [f"{TOUCHED}.{layer}.weight" for layer in ("to_k", "to_v")]
    for name, more in zip(names, (0.1, 0.0), strict=True):
        weight = unet.get_parameter(name)
        weight.data = (weight.data + more).half().float()
    both = {"model": given["model"], "tuned_model": replace(given["model"], unet=unet), "share": 99.0}
    trained, rounded = names
    masked, every = (call(LocalizeSkill, **both, mask_noise=noise)[0] for noise in (True, False))
    size = every.sizes[rounded]
    assert len(masked.changes[trained]) > 0.9 * size
    assert rounded not in masked.changes and 0.9 * size < len(every.changes[rounded])


def test_the_text_part_needs_a_clip(call, given, skill):
    made = call(StitchSkills, model=given["model"], skill=skill)
    assert "connect CLIP" in str(made.ui["text"]) and made[2] is None


def test_overlap_is_reported_and_differences_are_apart(call, skill, other):
    page, report = call(SkillOverlap, skill=skill, skill_2=other, names="cat, dog")[:2]
    assert page.ndim == 4 and "cat and dog" in report and "by chance" in report
    for slot in ("skill_3", "skill_4"):
        given = {"skill": skill, "skill_2": other, slot: other, "names": "cat, dog, fox"}
        assert "dog and fox" in call(SkillOverlap, **given)[1]
    apart = call(DifferenceOfSkills, skill=skill, other=other)[0]
    shared = call(DifferenceOfSkills, skill=skill, other=other, part="shared")[0]
    assert len(apart) + len(shared) == len(skill)


def test_files_bring_a_skill_back(call, skill):
    name = call(SaveSkillPatch, skill=skill, name="mine", precision="exact")[0]
    again = call(LoadSkillPatch, name=name)[0]
    assert again.base == skill.base and again.changes.keys() == skill.changes.keys()
    assert all(torch.equal(again.changes[key].values, one.values) for key, one in skill.changes.items())


def test_a_skill_of_another_model_is_refused_or_noted(call, given, skill, transformer, tuned):
    with pytest.raises(ValueError, match="does not have"):
        call(StitchSkills, model=transformer["model"], skill=skill)
    elsewhere = call(StitchSkills, model=tuned["tuned_model"], skill=replace(skill, base="[5.0]"))
    assert "not those that the skill was found on" in str(elsewhere.ui["text"])
    with pytest.raises(ValueError, match="belong together"):
        call(LocalizeSkill, **given, tuned_model=tuned["tuned_model"])


def test_a_transformer_has_skills_too(call, transformer):
    model = transformer["model"]
    other = copy.deepcopy(model.unet)
    name = next(name for name, weight in other.named_parameters() if weight.ndim == 2)
    other.get_parameter(name).data += 0.1
    found = call(LocalizeSkill, model=model, tuned_model=replace(model, unet=other), share=100.0)
    assert list(found[0].changes) == [name]
    assert torch.equal(weights_of(found[1], None)[name], other.get_parameter(name))
