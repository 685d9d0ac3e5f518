"""Calibrated skills and concept vectors inside ComfyUI, where weights are loaded under inference mode."""

import pytest
import torch

OTHERS = {"others": "dog, house, rocket"}


def with_noise(model, seed=1):
    """MODEL with every value projection of cross-attention moved."""
    made = torch.Generator().manual_seed(seed)
    clone = model.clone()
    state = model.model.state_dict()
    keys = [key for key in state if key.endswith(".attn2.to_v.weight")]
    clone.add_patches({key: (torch.randn(state[key].shape, generator=made) * 0.3,) for key in keys}, 1.0)
    return clone


def test_a_skill_is_calibrated_on_pictures(run, pack, parts_of):
    """Random weights denoise nothing, so that either model may be the better one on these pictures."""
    parts = parts_of("lab")
    pictures = torch.rand(8, 64, 64, 3, generator=torch.Generator().manual_seed(2))
    small = {"pictures": pictures, "prompts": "a cat", "share": 20.0}
    small["settings"] = "side=64, steps=2, batch=4, levels=1"
    models = parts["model"], with_noise(parts["model"])
    read = pack("host.adapters").weights_of
    plain = {name: weight.clone() for name, weight in read(models[0]).items()}
    found, refused = [], []
    for model, tuned in (models, models[::-1]):
        try:
            found.append(run("CalibrateSkill", **{**parts, "model": model}, tuned_model=tuned, **small))
        except ValueError as error:
            refused.append(str(error))
    assert found and all("no better than the model" in said for said in refused)
    skill, _, _, report = found[0]
    assert all(".attn2.to_v." in name for name in skill.changes) and "gains in denoising these pictures" in report
    assert all(torch.equal(weight, plain[name]) for name, weight in read(models[0]).items())


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_concept_vectors_are_found_edited_and_audited(run, pack, parts_of, family):
    parts = parts_of(family)
    clip = parts["clip"]
    found, page, report = run("FindConceptVectors", clip=clip, concept="cat", **OTHERS, count=2, settings="rounds=1")
    assert len(found.vectors) == 2 and page.shape[0] == 1 and "2 value vectors" in report
    edited, erasure = run("EditConceptVectors", clip=clip, vectors=found, amount=-1.0)
    before, after = (
        pack("host.adapters").backbone_of(clip=one).encode_text(["a cat"]).context for one in (clip, edited)
    )
    assert not torch.equal(before, after) and erasure.text
    again = pack("host.adapters").backbone_of(clip=clip).encode_text(["a cat"]).context
    assert torch.equal(again, before)
    given = {"model": parts["model"], "erased_model": parts["model"], "clip": clip, "vectors": found, "other_words": ""}
    audit = run("AuditErasureInside", **given, erased_clip=edited, concept="cat", **OTHERS, typos=False)[0]
    assert audit.traces == 0 and len(audit.ways) == 1


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_heads_are_scouted_and_their_offsets_are_undone(run, pack, parts_of, family):
    parts = parts_of(family)
    model, clip = parts["model"], parts["clip"]
    small = {"concept": "cat", "others": "dog, house", "settings": "draws=1, steps=2, side=64"}
    offsets, page, _ = run("ScoutHeads", model=model, clip=clip, **small)
    assert page.shape[0] == 1 and all(".attn2.to_out." in name for name in offsets.offsets)
    read = pack("host.adapters").weights_of
    plain = {name: weight.clone() for name, weight in read(model).items()}
    changed, skill, _ = run("ApplyHeadOffsets", model=model, offsets=offsets, heads=3, strength=2.0)
    after = read(changed)
    assert {name for name in plain if not torch.equal(after[name], plain[name])} == set(skill.changes)
    assert all(torch.equal(weight, plain[name]) for name, weight in read(model).items())


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_offsets_of_either_kind_of_heads_are_trained_and_undone(run, pack, parts_of, family):
    parts = parts_of(family)
    small = {"pictures": torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(2)), "prompts": "a cat"}
    small |= {"heads": 3, "steps": 2, "keep_every": 0, "settings": "choosing=2, batch=2, side=64"}
    offsets, page, report = run("TrainHeadOffsets", **parts, **small, heads_of="both")
    assert page.shape[0] == 1 and "root mean square" in report and offsets.of_text
    read = pack("host.adapters").weights_of
    plain = {name: weight.clone() for name, weight in read(parts["model"], parts["clip"]).items()}
    given = {"model": parts["model"], "clip": parts["clip"], "offsets": offsets}
    changed, skill, clip = run("ApplyHeadOffsets", **given, heads=500, strength=30.0)
    after = read(changed, clip)
    moved = {name for name in plain if not torch.equal(after[name], plain[name])}
    assert moved and moved <= set(skill.changes)
    assert all(torch.equal(weight, plain[name]) for name, weight in read(parts["model"], parts["clip"]).items())


@pytest.mark.parametrize("family", ["lab", "sd15", "sdxl"])
def test_layers_of_text_encoders_are_read_and_probed(run, pack, parts_of, family):
    parts = parts_of(family)
    backbone = pack("host.adapters").backbone_of(clip=parts["clip"])
    with backbone.text_layers() as found:
        context = backbone.encode_text(["a cat", "a dog on a red house"]).context
    states = torch.cat([layers.states[-2 if family == "sdxl" else -1] for layers in found.values()], -1)
    if family == "sdxl":
        torch.testing.assert_close(states[: len(context)], context.float().cpu(), rtol=1e-3, atol=1e-3)
    assert all(len(layers.states) == len(layers.heads) + 1 for layers in found.values())
    read = pack("core.surgery.traces.reading").layers_read(backbone)
    hidden = 1 if family == "sdxl" else 0
    assert read == {name: len(layers.heads) - hidden for name, layers in found.items()}
    prompts = {"with_concept": "a cat\na dog\na lion\na fox", "without_concept": "a car\na bus\na bell\na tent"}
    given = {"clip": parts["clip"], "model": parts["model"], "where": "both"}
    page, report = run("ProbeLayers", **given, **prompts, settings="steps=2, side=64, shuffles=20")
    assert page.shape[0] == 1 and "Clip skip" in report and "Denoiser, AUROC" in report
