"""Pictures to features, by whatever a CLIP_VISION socket carries."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.host.jobs.vision import BATCH, picture_features, window_features
from concept_atelier.host.shared import progress
from concept_atelier.host.shared.errors import UnsupportedModelError
from concept_atelier.lab.model.vision import load_vision


@pytest.fixture
def pictures():
    return torch.rand(BATCH + 3, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def encoder(answer):
    """Something that looks like a CLIP_VISION and notes what it is shown."""
    seen = []

    def encode_image(image, crop=True):
        seen.append((tuple(image.shape), crop))
        return answer(image)

    return SimpleNamespace(encode_image=encode_image, seen=seen)


def test_unit_features_of_whole_pictures_in_batches(pictures):
    vision = encoder(lambda image: SimpleNamespace(image_embeds=image.mean((1, 2)).half()))
    features = picture_features(vision, pictures)
    assert vision.seen == [((BATCH, 16, 24, 3), False), ((3, 16, 24, 3), False)]
    wanted = torch.nn.functional.normalize(pictures.mean((2, 3)), dim=1)
    assert features.dtype == torch.float32 and torch.allclose(features, wanted, atol=2e-3)


def test_the_labs_own_encoder(pictures):
    vision = load_vision()
    one_by_one = torch.cat([picture_features(vision, picture[None]) for picture in pictures])
    assert torch.allclose(picture_features(vision, pictures), one_by_one, atol=1e-5)


@pytest.mark.parametrize("embeds", [None, torch.ones(2, 4), torch.ones(19, 5, 4)])
def test_encoders_without_one_vector_a_picture_are_refused(pictures, embeds):
    with pytest.raises(UnsupportedModelError, match="no single vector"):
        picture_features(encoder(lambda image: SimpleNamespace(image_embeds=embeds)), pictures)


def test_patches_without_a_pooled_vector_are_averaged(pictures):
    """As ComfyUI gives them for SigLIP."""
    vision = encoder(lambda image: SimpleNamespace(image_embeds=image.flatten(1, 2)))
    wanted = torch.nn.functional.normalize(pictures.mean((2, 3)), dim=1)
    assert torch.allclose(picture_features(vision, pictures), wanted, atol=1e-5)


def test_windows_overlap_and_reach_every_rim():
    pictures = torch.zeros(2, 3, 10, 20)
    pictures[:, 0, 9, 19] = 1.0
    vision = encoder(lambda image: SimpleNamespace(image_embeds=image.amax((1, 2)) + 0.1))
    found = window_features(vision, pictures, 3, 0.6)
    assert found.shape == (2, 9, 3) and {seen[0] for seen in vision.seen} == {(2, 6, 12, 3)}
    assert (found[:, :, 0] > found[:, :, 1]).tolist() == [[False] * 8 + [True]] * 2
    assert window_features(vision, pictures, 1, 1.0).shape == (2, 1, 3)


def test_something_else_is_refused_by_name(pictures):
    with pytest.raises(UnsupportedModelError, match="builtins.dict; connect what Load CLIP Vision"):
        picture_features({}, pictures)


def test_broken_pictures_are_refused(pictures):
    with pytest.raises(ValueError, match="NaN"):
        picture_features(load_vision(), pictures / 0)


def test_it_can_be_interrupted(pictures):
    vision = encoder(lambda image: SimpleNamespace(image_embeds=torch.ones(len(image), 4)))
    with progress.use(progress.Session(stop=True)), pytest.raises(progress.InterruptedRun):
        picture_features(vision, pictures)
    assert vision.seen == []
