"""What every method promises, whichever it is."""

from dataclasses import fields, replace

import pytest
import torch

from concept_atelier.core.learn.methods import METHODS
from concept_atelier.core.learn.settings import LearnSettings

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_presets_and_help(name):
    method = METHODS[name]
    assert len(method.help) > 40 and method.help.endswith(".")
    assert next(iter(method.presets)) == "paper" and "lab" in method.presets
    for settings in method.presets.values():
        assert isinstance(settings, LearnSettings)
        assert all(field.metadata["help"] for field in fields(settings))


@every_method
def test_a_preset_it_does_not_have(name):
    with pytest.raises(ValueError, match="it has paper, "):
        METHODS[name].preset("nonsense")


@every_method
def test_learns_tokens_that_the_model_reads_and_says_what_it_cost(name, lab_backbone, picture, concepts):
    settings = replace(METHODS[name].presets["lab"], steps=1)
    seen = []
    tokens = METHODS[name].learn(
        lab_backbone,
        picture,
        concepts,
        settings,
        classes={"apple": "fruit", "crab": "fish"},
        seed=3,
        on_step=lambda *told: seen.append(told[:2]),
    )
    assert tokens.names == concepts.names and tokens.metadata["method"] == name
    assert int(tokens.metadata["passes"]) >= 1 and int(tokens.metadata["updates"]) == len(tokens.losses) == len(seen)
    assert seen == [(step, len(seen)) for step in range(1, len(seen) + 1)]
    context = lab_backbone.encode_text(["a photo of <apple> and <2>"], tokens.placeholders()).context
    assert torch.isfinite(context).all() and torch.isfinite(tokens.losses).all()


@every_method
def test_empty_masks_and_unknown_words_are_refused(name, lab_backbone, picture, concepts):
    learn = METHODS[name].learn
    masks = concepts.masks.clone()
    masks[1] = False
    with pytest.raises(ValueError, match="masks of crab are empty"):
        learn(lab_backbone, picture, replace(concepts, masks=masks))
    for given in ({"words": {"pear": "fruit"}}, {"classes": {"pear": "fruit"}}):
        with pytest.raises(ValueError, match="for pear, but the concepts are apple, crab"):
            learn(lab_backbone, picture, concepts, **given)
