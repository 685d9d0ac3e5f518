"""Skills inside ComfyUI: found between its patchers, stitched beside LoRA loaders, undone exactly."""

import pytest
import torch
from PIL import Image


def state_of(pack, model, clip=None):
    return {name: weight.clone() for name, weight in pack("host.adapters").weights_of(model, clip).items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(weight, other[name]) for name, weight in one.items())


def lora_of(pack, model, seed, ending=".attn2.to_v.weight"):
    """MODEL with a random LoRA on some weights, as the stock loader puts it on."""
    import comfy.lora

    made = torch.Generator().manual_seed(seed)
    keys = [key for key in model.model.state_dict() if key.endswith(ending)]
    tensors, names = {}, {}
    for key in keys:
        rows, columns = model.model.state_dict()[key].shape
        tensors[f"{key}.lora_up.weight"] = torch.randn(rows, 2, generator=made) * 0.3
        tensors[f"{key}.lora_down.weight"] = torch.randn(2, columns, generator=made) * 0.3
        names[key] = key
    clone = model.clone()
    clone.add_patches(comfy.lora.load_lora(tensors, names), 1.0)
    return clone


def loaded(model):
    """What lies in memory while the model is loaded."""
    import comfy.model_management as management

    management.load_models_gpu([model], force_patch_weights=True)
    return {key: weight.clone() for key, weight in model.model.state_dict().items()}


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_a_lora_becomes_a_skill_that_is_loaded_and_undone_exactly(run, pack, parts_of, family):
    parts = parts_of(family)
    model = parts["model"]
    before = loaded(model)
    tuned = lora_of(pack, model, 1)
    found, with_all, _ = run("LocalizeSkill", model=model, tuned_model=tuned, share=100.0)
    assert found.family == family and all(".attn2.to_v." in name for name in found.changes)
    assert same(state_of(pack, with_all), state_of(pack, tuned))
    half, with_half, _ = run("LocalizeSkill", model=model, tuned_model=tuned, share=10.0)
    assert half.share == pytest.approx(0.1, abs=1e-3)
    there = loaded(with_half)
    changed = [key for key in before if not torch.equal(before[key], there[key])]
    assert len(changed) == len(half.changes)
    assert same(loaded(model), before)


def test_skills_compose_with_a_lora_before_and_behind(run, pack, parts_of):
    model = parts_of("lab")["model"]
    skill = run("LocalizeSkill", model=model, tuned_model=lora_of(pack, model, 1), share=20.0)[0]
    behind = lora_of(pack, run("StitchSkills", model=model, skill=skill)[0], 2)
    before = run("StitchSkills", model=lora_of(pack, model, 2), skill=skill)[0]
    alone = state_of(pack, lora_of(pack, model, 2))
    one, other = state_of(pack, behind), state_of(pack, before)
    for name, weight in one.items():
        torch.testing.assert_close(weight.float(), other[name].float(), rtol=1e-5, atol=1e-6)
    assert {name for name in one if not torch.equal(one[name], alone[name])} == set(skill.changes)
    off = run("SubtractSkill", model=before, skill=skill)[0]
    for name, weight in state_of(pack, off).items():
        torch.testing.assert_close(weight.float(), alone[name].float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("family", "encoders"), [("sd15", {"clip_l"}), ("sdxl", {"clip_l", "clip_g"})])
def test_text_encoders_have_a_skill_too(run, pack, parts_of, family, encoders):
    parts = parts_of(family)
    clip = parts["clip"].clone()
    state = clip.patcher.model.state_dict()
    keys = {key.partition(".")[0]: key for key in state if key.endswith("layers.0.mlp.fc1.weight")}
    clip.add_patches({key: (torch.ones_like(state[key]),) for key in keys.values()}, 0.1)
    given = {"model": parts["model"], "clip": parts["clip"]}
    found = run("LocalizeSkill", **given, tuned_model=parts["model"], tuned_clip=clip, share=100.0)
    assert len(found[0].changes) == len(encoders) and set(found[0].text) == encoders
    assert same(state_of(pack, *found[1:]), state_of(pack, parts["model"], clip))
    stitched = run("StitchSkills", model=parts["model"], skill=found[0], clip=parts["clip"])
    assert same(state_of(pack, parts["model"], stitched[2]), state_of(pack, parts["model"], clip))


@pytest.mark.parametrize("family", ["flux", "qwen_image", "z_image"])
def test_transformers_have_skills(run, pack, model_of, family):
    model = model_of(family)
    key = next(
        key for key, held in model.model.state_dict().items() if held.ndim == 2 and "qkv" in key or "to_q" in key
    )
    tuned = model.clone()
    tuned.add_patches({key: (torch.ones_like(model.model.state_dict()[key]),)}, 0.5)
    found = run("LocalizeSkill", model=model, tuned_model=tuned, share=100.0)
    assert [f"diffusion_model.{name}" for name in found[0].changes] == [key]
    assert same(state_of(pack, found[1]), state_of(pack, tuned))


def test_skills_are_saved_and_compared(run, pack, parts_of):
    model = parts_of("lab")["model"]
    skills = [
        run("LocalizeSkill", model=model, tuned_model=lora_of(pack, model, seed), share=5.0)[0] for seed in (1, 2)
    ]
    page, report = run("SkillOverlap", skill=skills[0], skill_2=skills[1])[:2]
    assert page.shape[0] == 1 and "by chance" in report
    apart, shared = (
        run("DifferenceOfSkills", skill=skills[0], other=skills[1], part=p)[0] for p in ("apart", "shared")
    )
    kept = [sum(len(change.index) for change in skill.changes.values()) for skill in (apart, shared, skills[0])]
    assert kept[0] + kept[1] == kept[2] and 0 < kept[1] < kept[2]
    name = run("SaveSkillPatch", skill=skills[0], name="test/one", precision="exact")[0]
    assert run("LoadSkillPatch", name=name)[0].changes.keys() == skills[0].changes.keys()


@pytest.mark.parametrize("family", ["lab", "sd15"])
def test_a_slim_lora_is_read_by_the_stock_loader(run, stock, pack, parts_of, family):
    """Attention weights and convolutions alike."""
    model = parts_of(family)["model"]
    tuned = lora_of(pack, model, 3)
    key = next(key for key in model.model.state_dict() if key.endswith("in_layers.2.weight"))
    held = model.model.state_dict()[key]
    up, down = torch.randn(held.shape[0], 1), torch.randn(1, held[0].numel())
    tuned.add_patches({key: ((up @ down).view(held.shape) * 0.1,)}, 1.0)
    (name,) = run("SlimLora", model=model, tuned_model=tuned, keep=100.0, max_rank=4, name=f"test/slim_{family}")
    (again,) = stock("LoraLoaderModelOnly", model=model, lora_name=name, strength_model=1.0)
    wanted, plain = state_of(pack, tuned), state_of(pack, model)
    for name, weight in state_of(pack, again).items():
        torch.testing.assert_close(weight.float(), wanted[name].float(), rtol=1e-3, atol=1e-3)
        assert torch.equal(weight, plain[name]) == torch.equal(wanted[name], plain[name])


def test_shares_are_drawn_and_captions_compared(run, pack, parts_of):
    parts = parts_of("lab")
    vision = run("LoadLabClipVision")[0]
    key = "diffusion_model.out.2.weight"
    tuned = parts["model"].clone()
    tuned.add_patches({key: (torch.randn_like(tuned.model.state_dict()[key].float()),)}, 3.0)
    small = {"settings": "draws=1, steps=1, side=64, batch=1", "shares": "1, 100", "prompts": "a cat"}
    found = run("GraftSkill", **parts, tuned_model=tuned, clip_vision=vision, **small)
    assert found[0].share == pytest.approx(1.0) and same(state_of(pack, found[1]), state_of(pack, tuned))
    pictures = torch.rand(3, 64, 64, 3)
    given = {"pictures": pictures, "clip_vision": vision, "clip": parts["clip"]}
    sheet, table, report, kept, _, weights = run("CaptionNoise", **given, captions="a cat\na dog\na car")
    assert torch.equal(kept, pictures) and weights.count("\n") == 2
    assert sheet.shape[0] == 1 and table.count("\n") == 4 and "fewer than 20" in report
    adapted = run("AdaptiveWeights", losses="1,3,1,1\n2,1,1,1\n3,2,1,1", noise=table)[0]
    assert adapted.count("\n") == 4


def test_a_folder_is_read_with_its_captions(run, comfy_base):
    folder = comfy_base / "input" / "training"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        Image.new("RGB", (32, 32), (90 * number, 40, 200)).save(folder / f"{number}.png")
    (folder / "1.txt").write_text("a dog", encoding="utf-8")
    pictures, names, captions = run("LoadPictureFolder", folder="training", size=64)
    assert pictures.shape == (2, 64, 64, 3) and names == "0.png\n1.png" and captions == "\na dog"
