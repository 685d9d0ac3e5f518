import sys
from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.methods.far import METHOD, FarSettings, localized

QUICK = FarSettings(steps=2, rate=1e-2, adapter_rate=1e-2, rank=2, downscale=2, composites=2, attention_weight=1.0)
HALVES = torch.stack([torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])])


def test_both_forms_of_the_refinement_on_known_maps():
    maps, own = torch.tensor([[[0.4, 0.4, 0.0, 0.2]], [[0.0, 0.0, 0.3, 0.3]]]), torch.tensor([0, 1])
    assert localized(maps, HALVES, own, "mse").tolist() == pytest.approx([0.25 / 4, 0.0])
    # A fifth lies outside its own half, and that fifth inside the other's.
    assert localized(maps, HALVES, own, "ratio").tolist() == pytest.approx([0.4, 0.0], abs=1e-6)
    swapped = localized(maps, HALVES, own.flip(0), "ratio")
    assert swapped.tolist() == pytest.approx([0.8 + 0.8, 2.0], abs=1e-6)


def test_a_subject_that_no_token_names_counts_as_another():
    maps, masks = torch.tensor([[[0.5, 0.0, 0.5, 0.0]]]), HALVES
    assert localized(maps, masks[:1], torch.tensor([0]), "ratio").tolist() == pytest.approx([0.5])
    assert localized(maps, masks, torch.tensor([0]), "ratio").tolist() == pytest.approx([1.0])


def test_it_says_that_it_is_a_reconstruction():
    assert "reconstruction" in METHOD.note and "reconstruction" in sys.modules[FarSettings.__module__].__doc__


def test_it_works_without_class_words_and_then_draws_nothing_first(lab_backbone, picture, concepts):
    tokens = METHOD.learn(lab_backbone, picture, concepts, replace(QUICK, prior=4))
    assert tokens.metadata["prior_subjects"] == "0" and tokens.metadata["passes"] == "2"
    assert tokens.metadata["composites"] == "2" and torch.isfinite(tokens.losses).all()


def test_a_picture_that_is_no_multiple_of_the_cells(lab_backbone, concepts):
    crooked = torch.rand(1, 3, 67, 99, generator=torch.Generator().manual_seed(1))
    given = replace(concepts, picture_size=(67, 99), covered=(64, 96))
    tokens = METHOD.learn(lab_backbone, crooked, given, replace(QUICK, steps=1), classes={"apple": "cat"})
    assert torch.isfinite(tokens.losses).all()


@pytest.mark.parametrize(
    "wrong", [{"form": "iou"}, {"plain_share": 2.0}, {"composites": 0}, {"subjects": 0}, {"erosion": -1}], ids=str
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError):
        FarSettings(**wrong)
    assert METHOD.preset("paper").form == "mse"
