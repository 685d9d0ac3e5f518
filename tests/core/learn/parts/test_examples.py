from dataclasses import replace

import pytest
import torch

from concept_atelier.core.learn.parts.examples import fit, fit_targets, prepare
from concept_atelier.core.types import Concepts


def test_masks_of_the_latents_size_stay_as_they_are(lab_backbone, picture, concepts):
    example = prepare(lab_backbone, picture, concepts)
    assert example.latent.shape == (1, 4, 8, 12)
    assert torch.equal(example.masks, concepts.masks.float())


def test_the_mirrored_example_has_its_masks_and_targets_mirrored(lab_backbone, picture, concepts):
    example = prepare(lab_backbone, picture, concepts, mirrored=True)
    assert torch.equal(example.masks, concepts.masks.float().flip(-1))
    assert torch.equal(example.targets, concepts.targets.flip(-1))
    torch.testing.assert_close(example.latent, lab_backbone.encode_image(picture.flip(-1)))
    assert not torch.allclose(example.latent, lab_backbone.encode_image(picture))


def test_the_union_is_the_largest_share(lab_backbone, picture, concepts):
    example = prepare(lab_backbone, picture, concepts)
    assert torch.equal(example.union((0, 1)), concepts.masks.any(0).float())
    assert torch.equal(example.union((1,)), concepts.masks[1].float())


@pytest.mark.parametrize("size", [(4, 6), (8, 12), (16, 24), (5, 7), (1, 1)])
def test_no_mask_is_lost_by_resizing(size):
    dot = torch.zeros(1, 8, 12)
    dot[0, 3, 5] = 1
    fitted = fit(dot, size)
    assert fitted.shape == (1, *size) and 0 < fitted.max() <= 1 and fitted.min() >= 0


def test_shrinking_gives_the_share_of_the_area():
    half = torch.zeros(1, 4, 4)
    half[0, :2, 1:] = 1
    torch.testing.assert_close(fit(half, (2, 2)), torch.tensor([[[0.5, 1.0], [0.0, 0.0]]]))


def test_targets_still_sum_to_one(generator):
    targets = torch.rand(3, 7, 9, generator=generator)
    torch.testing.assert_close(fit_targets(targets, (4, 4)).sum((1, 2)), torch.ones(3))


def test_inputs_are_not_changed(lab_backbone, picture, concepts):
    before = picture.clone(), concepts.masks.clone(), concepts.targets.clone()
    prepare(lab_backbone, picture, concepts, mirrored=True)
    assert all(map(torch.equal, before, (picture, concepts.masks, concepts.targets)))


def test_what_cannot_be_learnt_from_is_refused(lab_backbone, picture, concepts):
    empty = concepts.masks.clone()
    empty[1] = False
    nothing = Concepts(concepts.masks[:0], concepts.targets[:0], (), concepts.scores[:0], concepts.picture_size)
    wrong = [
        (picture.expand(2, -1, -1, -1), concepts, "expected one picture"),
        (picture * float("nan"), concepts, "not finite"),
        (picture[..., :64], concepts, "use the picture they were found in"),
        (picture, replace(concepts, masks=empty), "masks of crab are empty"),
        (picture, replace(concepts, targets=concepts.targets * 0), "not all zero"),
        (picture, replace(concepts, targets=concepts.targets * float("nan")), "attention targets must be finite"),
        (picture, nothing, "no concepts to learn"),
    ]
    for image, given, message in wrong:
        with pytest.raises(ValueError, match=message):
            prepare(lab_backbone, image, given)


def test_a_latent_that_is_not_finite_is_refused(picture, concepts):
    class Broken:
        def encode_image(self, image):
            return torch.full((1, 4, 8, 12), float("nan"))

    with pytest.raises(ValueError, match="latent is not finite"):
        prepare(Broken(), picture, concepts)
