"""Skills of transformers inside ComfyUI, where queries, keys and values are rows of one weight."""

import pytest
import torch

ATTENTION = {
    "double_blocks.0.img_attn.qkv.weight",
    "double_blocks.0.txt_attn.qkv.weight",
    "single_blocks.0.linear1.weight",
}
"""The last one also holds what goes into the feed-forward part of its block."""


def state_of(pack, model):
    return {name: weight.clone() for name, weight in pack("host.adapters").weights_of(model).items()}


@pytest.fixture(scope="module")
def parts(both):
    return both[1]


@pytest.fixture(scope="module")
def tuned(parts):
    """MODEL with a change of rank 2 of every weight that holds attention."""
    made = torch.Generator().manual_seed(3)
    model, state = parts["model"].clone(), parts["model"].model.state_dict()
    patches = {}
    for name in ATTENTION:
        rows, columns = state[f"diffusion_model.{name}"].shape
        up, down = torch.randn(rows, 2, generator=made), torch.randn(2, columns, generator=made)
        patches[f"diffusion_model.{name}"] = (0.3 * up @ down,)
    assert len(model.add_patches(patches, 1.0)) == len(patches)
    return model


def test_pictures_choose_rows_of_weights_and_the_others_keep_the_first_choice(parts, tuned, run, pack):
    """Random weights denoise nothing, so that either model may be the better one on these pictures."""
    pictures = torch.rand(8, 64, 64, 3, generator=torch.Generator().manual_seed(2))
    given = {"pictures": pictures, "prompts": "a cat", "share": 20.0}
    given["settings"] = "side=64, steps=2, batch=4, levels=1"
    found, refused = [], []
    for model, other in ((parts["model"], tuned), (tuned, parts["model"])):
        try:
            first = run("LocalizeSkill", model=model, tuned_model=other, share=20.0)[0]
            found.append((first, *run("CalibrateSkill", **{**parts, "model": model}, tuned_model=other, **given)))
        except ValueError as error:
            refused.append(str(error))
    assert found and all("no better than the model" in said for said in refused)
    first, skill, model, *_, report = found[0]
    assert set(skill.changes) == ATTENTION and dict(skill.sizes) == dict(first.sizes)
    backbone = pack("host.adapters").backbone_of(**parts)
    width = backbone.attention_weights()[0].shape[1]
    assert f"{9 * width * width:,} parameters lie in attention projections" in report
    of_attention = 3 * width * width  # the parameters of the last weight that are not, lie after these
    name = "single_blocks.0.linear1.weight"
    kept = [one.changes[name].index[one.changes[name].index >= of_attention] for one in (first, skill)]
    assert len(kept[0]) and torch.equal(*kept)
    wanted, plain = state_of(pack, model), state_of(pack, parts["model"])
    assert {name for name in wanted if not torch.equal(wanted[name], plain[name])} == ATTENTION


def test_shares_are_drawn_and_skills_stitched_subtracted_and_saved(parts, tuned, run, pack):
    vision = run("LoadLabClipVision")[0]
    small = {"settings": "draws=1, steps=1, side=64, batch=1", "shares": "50, 100", "prompts": "a cat"}
    skill = run("GraftSkill", **parts, tuned_model=tuned, clip_vision=vision, **small)[0]
    assert skill.family == "lab_flux" and set(skill.changes) == ATTENTION
    half = run("LocalizeSkill", model=parts["model"], tuned_model=tuned, share=50.0)[0]
    name = run("SaveSkillPatch", skill=half, name="test/transformer", precision="exact")[0]
    again = run("LoadSkillPatch", name=name)[0]
    stitched = run("StitchSkills", model=parts["model"], skill=again)[0]
    plain, with_half = state_of(pack, parts["model"]), state_of(pack, stitched)
    assert {name for name in plain if not torch.equal(plain[name], with_half[name])} == ATTENTION
    back = state_of(pack, run("SubtractSkill", model=stitched, skill=again)[0])
    for name, weight in plain.items():
        torch.testing.assert_close(back[name].float(), weight.float(), rtol=1e-5, atol=1e-6)


def test_a_slim_lora_is_read_by_the_stock_loader(parts, tuned, run, stock, pack):
    name = run("SlimLora", model=parts["model"], tuned_model=tuned, keep=100.0, max_rank=4, name="test/slim_flux")[0]
    (again,) = stock("LoraLoaderModelOnly", model=parts["model"], lora_name=name, strength_model=1.0)
    wanted, plain = state_of(pack, tuned), state_of(pack, parts["model"])
    for name, weight in state_of(pack, again).items():
        torch.testing.assert_close(weight.float(), wanted[name].float(), rtol=1e-3, atol=1e-3)
        assert torch.equal(weight, plain[name]) == (name not in ATTENTION)
