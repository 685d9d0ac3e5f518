"""What every method of erasing promises; a new method is tested here by being registered."""

import json

import pytest
import torch

from concept_atelier.core.erase.registry import METHODS

every_method = pytest.mark.parametrize("name", METHODS)


def changes_of(erasure):
    text = {f"{encoder}.{key}": change for encoder, of in erasure.text.items() for key, change in of.items()}
    return {key: change.dense() for key, change in {**erasure.factors, **text}.items()}


@every_method
def test_a_record_says_what_it_is(name):
    method = METHODS[name]
    assert method.name == name and method.title and method.help.endswith(".")
    assert next(iter(method.presets)) == "paper" and "small" in method.presets
    assert all(settings.cost for settings in method.presets.values())


@every_method
def test_an_erasure_says_what_it_was_asked_and_comes_out_the_same_twice(name, lab_backbone):
    method = METHODS[name]
    before = [weight.weight.clone() for weight in lab_backbone.key_value_weights()]
    made = [method.erase(lab_backbone, ["cat"], "dog", ["crab"], method.preset("small")) for _ in range(2)]
    assert made[0].family == "lab" and made[0].metadata["method"] == name
    assert [json.loads(made[0].metadata[key]) for key in ("concepts", "anchors")] == [["cat"], ["dog"]]
    first, second = map(changes_of, made)
    assert first or made[0].guards
    assert all(change.isfinite().all() and change.equal(second[key]) for key, change in first.items())
    after = [weight.weight for weight in lab_backbone.key_value_weights()]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True)), "the model was changed"


@every_method
def test_what_cannot_be_erased_is_refused(name, lab_backbone):
    for concepts in ([], ["cat", "cat"], [""]):
        with pytest.raises(ValueError):
            METHODS[name].erase(lab_backbone, concepts)
