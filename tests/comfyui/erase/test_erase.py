"""Erase Concepts as a weight patch inside ComfyUI."""

import pytest
import torch

FAMILIES = ("lab", "sd15", "sd2", "sdxl")


@pytest.mark.parametrize("family", FAMILIES)
def test_bypass_is_an_exact_undo(parts_of, erase, sample, family, far):
    parts = parts_of(family)
    plain = sample(parts)  # first: a model that another test erased may still be loaded, its weights in these places
    before = {name: weight.clone() for name, weight in parts["model"].model.state_dict().items()}
    erased, erasure, _ = erase(parts)
    assert far(sample(parts, erased), plain) > 1e-3
    assert erasure.family == family and len(erasure.factors) >= 14
    assert torch.equal(sample(parts), plain)
    now = parts["model"].model.state_dict()
    assert [name for name, weight in now.items() if not torch.equal(weight, before[name])] == []
    assert not parts["model"].patches


def test_strength_is_linear_and_nothing_at_zero(parts_of, erase, sample, key_value_weights):
    parts = parts_of("sdxl")
    base = key_value_weights(parts["model"])
    changes = {s: key_value_weights(erase(parts, strength=s)[0]) for s in (1.0, 0.5, -2.0)}
    for name, weight in base.items():
        whole = changes[1.0][name] - weight
        assert whole.abs().max() > 0
        for strength in (0.5, -2.0):
            assert (changes[strength][name] - weight - strength * whole).abs().max() < 1e-6
    assert torch.equal(sample(parts, erase(parts, strength=0.0)[0]), sample(parts))


def test_the_model_reads_the_concept_as_its_anchor(parts_of, erase, key_value_weights, pack, far):
    """What the method promises of every projection, on the weights that ComfyUI computes with."""
    parts = parts_of("sd15")
    erased, *_ = erase(parts, anchors="dog", preset="paper", damping=0.001)
    backbone = pack("host.adapters").backbone_of(**parts)
    with torch.inference_mode():
        cat, dog = (backbone.encode_text([text]).context[0].double() for text in ("cat", "dog"))
        base, now = key_value_weights(parts["model"]), key_value_weights(erased)
    for name, weight in now.items():
        wanted = base[name] @ dog[1]
        assert far(weight @ cat[1], wanted) < 0.01 < far(base[name] @ cat[1], wanted)


def test_it_stacks_with_loras_and_is_solved_over_them(parts_of, erase, lora, sample, key_value_weights, far):
    parts = parts_of("sd15")
    plain = sample(parts)
    with_lora = lora(erase(parts, concepts="dog")[1], parts["model"], strength=0.7, name="other")
    current = key_value_weights(with_lora)
    both, erasure, _ = erase({**parts, "model": with_lora})
    alone = erase(parts)[1]
    for name, weight in key_value_weights(both).items():
        factor = erasure.factors[name]
        assert far(weight - current[name], (factor.up @ factor.down).double()) < 1e-4
    name = next(iter(erasure.factors))
    assert far(erasure.factors[name].up @ erasure.factors[name].down, alone.factors[name].dense()) > 1e-3
    later = lora(erase(parts, concepts="dog")[1], erase(parts)[0], strength=0.7, name="other")
    assert far(sample(parts, later), plain) > 1e-3 and far(sample(parts, both), plain) > 1e-3
    assert torch.equal(sample(parts), plain)


def test_half_precision_weights(build, erase, key_value_weights, pack, comfyui, far):
    """As checkpoints are stored: the change is computed at float32 and rounded once, when weights are loaded."""
    parts = build("sd15", dtype=torch.float16)._asdict()
    erased, erasure, _ = erase(parts)
    base, now = key_value_weights(parts["model"]), key_value_weights(erased)
    for name, factor in erasure.factors.items():
        assert far(now[name] - base[name], factor.dense().double()) < 1e-3


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_related_words_and_an_erasure_by_them_come_from_comfyuis_own_vocabulary(parts_of, run, pack, erase, family):
    parts = parts_of(family)
    found = pack("host.adapters").backbone_of(clip=parts["clip"]).vocabulary()
    assert len(found.words) > 1000 and "cat" in found.words
    place = found.words.index("cat")
    own = pack("host.adapters").backbone_of(clip=parts["clip"]).word_vectors("cat")
    assert all(torch.equal(found.vectors[name][place].cpu(), rows[0].float().cpu()) for name, rows in own.items())
    given = {"clip": parts["clip"], "words": "cat", "count": 2, "least_likeness": -1.0, "leave_out": ""}
    (words, *_) = run("SuggestRelatedWords", **given, with_words=True)
    assert words.splitlines()[0] == "cat" and len(words.splitlines()) == 3
    assert erase(parts, concepts=words)[1].factors


@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_text_encoder_is_a_patch_that_the_stock_loader_reads_too(parts_of, run, stock, family, far):
    """HiRM in every text encoder of the family; undone to the bit, and the same from its file."""
    parts = parts_of(family)

    def encoded(clip):
        return stock("CLIPTextEncode", clip=clip, text="a cat")[0][0][0]

    state = parts["clip"].patcher.model.state_dict()
    before = {name: weight.clone() for name, weight in state.items() if "layers.0." in name}
    plain = encoded(parts["clip"])
    given = {"model": parts["model"], "clip": parts["clip"], "concepts": "cat", "method": "hirm", "preset": "small"}
    model, erasure, clip = run("EraseConcepts", **given, settings="steps=2, rate=0.01, retain=0")
    assert model is parts["model"] and set(erasure.text) == {"sdxl": {"clip_l", "clip_g"}}.get(
        family, {"clip_h" if family == "sd2" else "clip_l"}
    )
    changed = encoded(clip)
    assert far(changed, plain) > 1e-3
    assert torch.equal(encoded(parts["clip"]), plain)
    run("SaveErasureAsLora", erasure=erasure, name="atelier/misled")
    lora = {"lora_name": "atelier/misled.safetensors", "strength_model": 1.0, "strength_clip": 1.0}
    assert torch.equal(encoded(stock("LoraLoader", model=parts["model"], clip=parts["clip"], **lora)[1]), changed)
    assert torch.equal(
        encoded(run("LoadErasure", **{k: parts[k] for k in ("model", "clip")}, name="atelier/misled")[2]), changed
    )
    assert torch.equal(encoded(run("EraseConcepts", **given, settings="steps=2, retain=0", strength=0.0)[2]), plain)
    now = parts["clip"].patcher.model.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in before.items())
