import json
import re
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.backbone import KeyValueWeight
from concept_atelier.core.erase.methods import esd, few_shot
from concept_atelier.core.erase.methods.uce import METHOD
from concept_atelier.core.erase.parts.saved import fingerprint, load_erasure, same_base
from concept_atelier.core.files import lora_tensors, old_text_key, save_lora, save_tensors, text_key
from concept_atelier.core.fingerprints import number_of
from concept_atelier.core.types import Erasure, FullChange


@pytest.fixture
def weights(lab_backbone):
    return lab_backbone.key_value_weights()


def changed(weights, change):
    return [KeyValueWeight(one.name, one.role, change(one.weight)) for one in weights]


def test_one_model_has_one_fingerprint_whatever_it_was_loaded_as(weights):
    own = fingerprint(weights)
    assert own == fingerprint(weights[::-1]) and len(json.loads(own)) == len(weights)
    assert same_base(own, changed(weights, torch.Tensor.half)) and same_base("", weights)


@pytest.mark.parametrize("by", [0.05, 1.0])
def test_a_model_that_was_trained_further_is_another(weights, by, generator):
    def further(weight):
        return weight + by * weight.std() * torch.randn(weight.shape, generator=generator)

    assert not same_base(fingerprint(weights), changed(weights, further))
    assert not same_base(fingerprint(weights), weights[:-1])


@pytest.mark.parametrize("strength", [1.0, -0.7])
@pytest.mark.parametrize("full", [False, True])
def test_what_is_saved_is_loaded_with_its_lists_and_strength(lab_backbone, weights, tmp_path, strength, full):
    made = METHOD.erase(lab_backbone, ["cat", "kitty"], ["dog", ""], ["crab"], strength=strength)
    if full:
        made = replace(made, factors={name: FullChange(change.dense()) for name, change in made.factors.items()})
    path = tmp_path / "made.safetensors"
    save_lora(path, made)
    found = load_erasure(path, weights, "lab", 0.5)
    assert found.strength == pytest.approx(0.5 * strength) and found.family == "lab"
    for key in ("concepts", "anchors", "preserve", "settings", "base", "method"):
        assert found.metadata[key] == made.metadata[key]
    assert found.factors.keys() == made.factors.keys()
    for name, change in made.factors.items():
        assert type(found.factors[name]) is type(change)
        torch.testing.assert_close(found.factors[name].dense(), change.dense(), atol=1e-6, rtol=1e-5)
    again = tmp_path / "again.safetensors"
    save_lora(again, replace(found, strength=strength))
    second = load_erasure(again, weights, "lab")
    assert second.strength == pytest.approx(strength) and second.metadata["concepts"] == made.metadata["concepts"]


def test_a_file_saved_at_strength_zero_changes_nothing(lab_backbone, weights, tmp_path):
    path = tmp_path / "none.safetensors"
    save_lora(path, METHOD.erase(lab_backbone, ["cat"], strength=0.0))
    found = load_erasure(path, weights, "lab")
    assert found.strength == 0 and not any(change.dense().any() for change in found.factors.values())


def test_another_model_and_other_files_are_refused_in_one_sentence(lab_backbone, weights, tmp_path, generator):
    path = tmp_path / "made.safetensors"
    save_lora(path, METHOD.erase(lab_backbone, ["cat"]))
    other = changed(weights, lambda weight: torch.randn(weight.shape, generator=generator))
    with pytest.raises(ValueError, match=r"made.safetensors was made on another model \(its weights differ\); load"):
        load_erasure(path, other, "lab")
    with pytest.raises(ValueError, match=r"another model \(it changes lora_unet_.*which this model does not have\)"):
        load_erasure(path, weights[2:], "lab")
    foreign = tmp_path / "foreign.safetensors"
    save_tensors(foreign, {"lora_unet_x.lora_up.weight": torch.ones(2, 1)})
    with pytest.raises(ValueError, match="holds no erasure of this pack; load it with a LoRA loader"):
        load_erasure(foreign, weights, "lab")
    with pytest.raises(FileNotFoundError):
        load_erasure(tmp_path / "none.safetensors", weights, "lab")


ODD_METADATA = [
    ({"strength": "x"}, "strength in the metadata of odd.safetensors"),
    ({"strength": "NaN"}, "strength in the metadata of odd.safetensors is nan, expected a finite number"),
    ({"base": "{}"}, "base in the metadata of odd.safetensors is a map, expected a list"),
    ({"base": "[1, null]"}, "an entry of base in the metadata of odd.safetensors is None, expected a finite number"),
    ({"concepts": "[" * 100_000}, "nests lists and maps more than 200 deep"),
    ({"concepts": '["cat", 5]'}, "an entry of concepts in the metadata of odd.safetensors is a number"),
    ({"remarks": '"all"'}, "remarks in the metadata of odd.safetensors is a text, expected a list"),
]


@pytest.mark.parametrize(("changes", "message"), ODD_METADATA)
def test_odd_metadata_are_refused_by_file_and_entry(lab_backbone, weights, tmp_path, changes, message):
    made = METHOD.erase(lab_backbone, ["cat"])
    path = tmp_path / "odd.safetensors"
    tensors, metadata = lora_tensors(made)
    save_tensors(path, tensors, {**metadata, **changes})
    with pytest.raises(ValueError, match=re.escape(message)):
        load_erasure(path, weights, "lab")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda key, tensor: {}, "needs lora_up, lora_down and one number as alpha"),
        (lambda key, tensor: {key: tensor[:0]}, "needs lora_up, lora_down and one number as alpha"),
        (lambda key, tensor: {key: tensor[0, 0].clone()}, "needs lora_up, lora_down and one number as alpha"),
        (lambda key, tensor: {key: tensor[0]}, "expected two sizes or more"),
        (lambda key, tensor: {key: tensor.to(torch.int8)}, "is saved in whole numbers"),
        (lambda key, tensor: {key: torch.full_like(tensor, torch.nan)}, "odd.safetensors is not finite"),
    ],
)
def test_factors_that_are_damaged_are_refused_by_file(lab_backbone, weights, tmp_path, change, message):
    tensors, metadata = lora_tensors(METHOD.erase(lab_backbone, ["cat"]))
    key = next(name for name in tensors if name.endswith("lora_down.weight"))
    path = tmp_path / "odd.safetensors"
    save_tensors(
        path, {name: one for name, one in tensors.items() if name != key} | change(key, tensors[key]), metadata
    )
    with pytest.raises(ValueError, match=message) as refused:
        load_erasure(path, weights, "lab")
    assert "odd.safetensors" in str(refused.value)


def test_an_alpha_alone_is_no_erasure_that_changes_nothing(lab_backbone, weights, tmp_path):
    tensors, metadata = lora_tensors(METHOD.erase(lab_backbone, ["cat"]))
    key = next(name for name in tensors if name.endswith(".alpha"))
    path = tmp_path / "odd.safetensors"
    save_tensors(path, {key: tensors[key]}, metadata)
    with pytest.raises(ValueError, match="odd.safetensors is damaged.*needs lora_up, lora_down"):
        load_erasure(path, weights, "lab")


SHORT = {"steps": 1, "side": 64, "sampling_steps": 2}


@pytest.fixture(scope="module")
def trained(lab_backbone):
    """ESD of the preset ``paper``: queries and output projections are changed beside keys and values."""
    return esd.METHOD.erase(lab_backbone, ["cat"], settings=replace(esd.METHOD.preset("paper"), **SHORT))


def test_all_that_a_trained_erasure_changes_identifies_its_model(lab_backbone, weights, trained, tmp_path, generator):
    path, others = tmp_path / "made.safetensors", {one.name: one.shape for one in lab_backbone.attention_weights()}
    save_lora(path, trained)
    held = dict(lab_backbone.attention_tensors())
    names = set(trained.factors) - {one.name for one in weights}
    assert names and set(json.loads(trained.metadata["changed_base"])) == names
    found = load_erasure(path, weights, "lab", others=others, tensors_of_others=held)
    assert found.factors.keys() == trained.factors.keys()
    assert load_erasure(path, weights, "lab", others=others, tensors_of_others={n: w.half() for n, w in held.items()})
    name = min(names)
    other = held | {name: held[name] + 0.5 * held[name].std() * torch.randn(held[name].shape, generator=generator)}
    with pytest.raises(ValueError, match=r"was made on another model \(its weights differ\)"):
        load_erasure(path, weights, "lab", others=others, tensors_of_others=other)
    untouched = next(one for one in held if one not in trained.factors)  # another, that the erasure does not change
    load_erasure(path, weights, "lab", others=others, tensors_of_others=held | {untouched: held[untouched].flip(0)})


def test_files_from_before_that_was_written_are_loaded(lab_backbone, weights, trained, tmp_path):
    path, others = tmp_path / "old.safetensors", {one.name: one.shape for one in lab_backbone.attention_weights()}
    tensors, metadata = lora_tensors(trained)
    save_tensors(path, tensors, {key: value for key, value in metadata.items() if key != "changed_base"})
    turned = {name: weight.flip(0) for name, weight in lab_backbone.attention_tensors().items()}
    assert load_erasure(path, weights, "lab", others=others, tensors_of_others=turned).factors
    assert "changed_base" not in METHOD.erase(lab_backbone, ["cat"]).metadata  # keys and values alone


@pytest.mark.parametrize("rank", [0, 2])
def test_changes_of_text_encoders_are_loaded_by_new_and_by_old_keys(lab_backbone, weights, tmp_path, rank):
    settings = replace(few_shot.METHOD.preset("paper"), rank=rank, drawn=1, **SHORT)
    made, text = few_shot.METHOD.erase(lab_backbone, ["cat"], settings=settings), lab_backbone.text_weights()
    tensors, metadata = lora_tensors(made)
    assert all(key.startswith("lora_te_text_model_encoder_layers_") for key in tensors)
    older = {}
    for weight in text:
        new, old = text_key(weight.encoder, weight.name, "lab"), old_text_key(weight.encoder, weight.name)
        new, old = new.removesuffix(".bias"), old.removesuffix(".bias")
        older |= {old + key.removeprefix(new): one for key, one in tensors.items() if key.startswith(f"{new}.")}
    assert len(older) == len(tensors)
    for name, content, foreign in (("new", tensors, "lora_te_x"), ("old", older, "text_encoders.x")):
        path = tmp_path / f"{name}.safetensors"
        save_tensors(path, content, metadata)
        found = load_erasure(path, weights, "lab", text=text)
        assert found.text["clip_l"].keys() == made.text["clip_l"].keys() and not found.factors
        for key, change in made.text["clip_l"].items():
            torch.testing.assert_close(found.text["clip_l"][key].dense(), change.dense(), atol=1e-6, rtol=1e-5)
        save_tensors(path, content | {f"{foreign}.diff": torch.ones(2, 2)}, metadata)
        with pytest.raises(ValueError, match="is for another text encoder: this one has no"):
            load_erasure(path, weights, "lab", text=text)


@pytest.mark.parametrize(("made_on", "encoder"), [("sd15", "clip_l"), ("sdxl", "clip_l"), ("sdxl", "clip_g")])
def test_a_change_of_a_text_encoder_is_loaded_on_each_model_that_has_it(two_towers, tmp_path, made_on, encoder):
    """SDXL has two encoders, of which a file of SD1.5 means one; and a file of SDXL may change one alone."""
    weights = two_towers.text_weights()
    one = next(one for one in weights if one.encoder == encoder and one.name.endswith("layers.1.mlp.fc1.weight"))
    change, base = FullChange(torch.ones_like(one.weight)), {f"{encoder} {one.name}": number_of(one.weight)}
    path, metadata = tmp_path / "made.safetensors", {"text_base": json.dumps(base)}
    save_lora(path, Erasure({}, 1.0, made_on, metadata, {encoder: {one.name: change}}))
    found = load_erasure(path, (), "sdxl", text=weights)
    assert list(found.text) == [encoder] and list(found.text[encoder]) == [one.name] and found.family == "sdxl"
    alone = [one for one in weights if one.encoder == encoder]
    assert list(load_erasure(path, (), "sd15", text=alone).text) == [encoder]
    others = [one for one in weights if one.encoder != encoder]
    with pytest.raises(ValueError, match="is for another text encoder"):
        load_erasure(path, (), "sdxl", text=others)
