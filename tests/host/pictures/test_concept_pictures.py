"""Concepts as people see them."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.core.types import Concepts
from concept_atelier.host.pictures.concept_pictures import (
    concept_masks,
    concept_overlay,
    describe_concepts,
    inherited_colours,
    picture_for,
)
from concept_atelier.host.pictures.drawing import colour_of
from concept_atelier.host.shared import progress


@pytest.fixture
def concepts():
    """Two concepts on the 8x12 grid of a picture of 70x100 pixels, of which 64x96 are covered."""
    masks = torch.zeros(2, 8, 12, dtype=torch.bool)
    masks[0, :2, :2], masks[1, 4:, 8:] = True, True
    targets = masks / masks.sum((1, 2), keepdim=True)
    names, notes = ("1", "cat"), ("something was decided",)
    return Concepts(masks, targets, names, torch.tensor([1.5, 0.25]), (70, 100), notes, covered=(64, 96))


def test_masks_have_the_pictures_size_and_do_not_overlap(concepts):
    masks = concept_masks(concepts)
    assert masks.shape == (2, 70, 100) and masks.dtype == torch.float32
    assert masks.sum(0).max() <= 1
    assert masks[0, 5, 5] == 1 and masks[0, 60, 90] == 0 and masks[1, 60, 90] == 1


def test_the_overlay_tints_every_concept(concepts):
    shown = concept_overlay(torch.zeros(1, 3, 70, 100), concepts)
    scale = shown.shape[1] // 70
    assert shown.shape == (1, 70 * scale, 100 * scale, 3)
    assert shown[0, 5 * scale, 5 * scale].sum() > 0 and shown[0, 66 * scale, 96 * scale].sum() > 0
    assert shown[0, 60 * scale, 5 * scale].sum() == 0
    # Two cells of eight pixels, after the three that the latent leaves out at the top.
    assert shown[0, 18 * scale, 0].sum() > 0 and shown[0, 19 * scale, 0].sum() == 0


def test_one_line_a_concept_and_then_the_notes(concepts):
    assert describe_concepts(concepts).splitlines() == [
        "<1>: saliency 1.50, 4% of the picture",
        "<cat>: saliency 0.25, 17% of the picture",
        "Note: something was decided",
    ]


def test_scores_are_written_when_asked(concepts):
    picture = torch.zeros(1, 3, 70, 100)
    assert not torch.equal(concept_overlay(picture, concepts), concept_overlay(picture, concepts, scores=True))


def test_a_concept_keeps_its_colour_when_others_go_and_a_new_one_gets_a_new_one(concepts):
    assert inherited_colours(concepts.pick([1]), concepts) == [colour_of(1)]
    new = Concepts(~concepts.masks.any(0)[None], concepts.targets[:1], ("rest",), torch.zeros(1), (70, 100))
    assert inherited_colours(new, concepts) == [colour_of(2)]


def test_the_picture_must_be_the_one_of_the_concepts(concepts):
    picture = torch.rand(1, 3, 70, 100, generator=torch.Generator().manual_seed(0))
    assert picture_for(concepts, picture) is picture
    assert picture_for(concepts, None).shape == picture.shape
    with pytest.raises(ValueError, match="70x100 pixels, the concepts were found in one of 100x70"):
        picture_for(concepts, picture.movedim(-1, -2))


def test_masks_are_left_one_by_one_when_the_run_is_cancelled(concepts):
    with progress.use(progress.Session(stop=True)), pytest.raises(progress.InterruptedRun):
        concept_masks(replace(concepts, outline="edges"), torch.rand(1, 3, *concepts.picture_size))
