"""Localising by words: on a model at random weights, and on the trained one."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.localize.methods import attencraft
from concept_atelier.core.localize.methods.attencraft import METHOD
from concept_atelier.core.masks import words as masks_of_words
from concept_atelier.core.masks.upsample import smooth_masks
from concept_atelier.core.masks.words import WordAttention

SMALL = METHOD.preset("small")
QUICK = replace(SMALL, draws=1, cross_least_side=4)


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "at least one word"), (["cat", "Cat"], "cat: named twice"), (["a<b"], "cannot name a concept")],
)
def test_words_are_checked(lab_backbone, words, message):
    with pytest.raises(ValueError, match=message):
        METHOD.localize(lab_backbone, torch.rand(1, 3, 64, 64), words=words)


def test_words_without_a_place_are_named(lab_backbone, monkeypatch):
    """A word that the model sees nowhere: its map is the background's in every cell."""
    flat = WordAttention(torch.rand(3, 8, 8) * torch.tensor([1.0, 0.0, 1.0]).view(3, 1, 1), torch.eye(64))
    monkeypatch.setattr(attencraft, "read_word_attention", lambda *given: flat)
    monkeypatch.setattr(masks_of_words, "spread", lambda cross, *given: cross)
    with pytest.raises(ValueError, match="no place was found for dog in 4 passes"):
        METHOD.localize(lab_backbone, torch.rand(1, 3, 64, 64), QUICK, words=["cat", "dog"])


@pytest.fixture(scope="module")
def trained():
    """The lab model with its weights, and a scene of two objects."""
    from concept_atelier.bench.cases import case_of
    from concept_atelier.bench.command import load_backbone
    from concept_atelier.lab.world.scene import SceneSettings, sample_scene

    settings = SceneSettings(counts=(2,), tinted=0.0, patterned=0.0)
    return load_backbone(), case_of(sample_scene("development", 19, settings), 19)


def test_named_objects_are_found_in_a_scene(trained):
    backbone, case = trained
    found = METHOD.localize(backbone, case.picture, SMALL, words=case.names, seed=0)
    assert found.names == tuple("-".join(name.split()) for name in case.names) and (found.masks.sum(0) <= 1).all()
    torch.testing.assert_close(found.targets.sum((1, 2)), torch.ones(2))
    assert (found.scores > 1).all()
    pixels = smooth_masks(found.masks, found.picture_size, found.covered)
    ious = [float((a & b).sum() / (a | b).sum()) for a, b in zip(pixels, case.masks, strict=True)]
    assert min(ious) > 0.4
    again = METHOD.localize(backbone, case.picture, SMALL, words=case.names, seed=0)
    assert again.masks.equal(found.masks) and again.targets.equal(found.targets)
    swapped = METHOD.localize(backbone, case.picture, SMALL, words=case.names[::-1], seed=0)
    crossed = [float((a & b).sum() / (a | b).sum()) for a, b in zip(swapped.masks.flip(0), found.masks, strict=True)]
    assert min(crossed) > 0.5
