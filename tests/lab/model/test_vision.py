"""The lab's image tower as a CLIP_VISION."""

import pytest
import torch

from concept_atelier.lab.model.image_tower import load_contrastive_pair, load_image_tower
from concept_atelier.lab.model.vision import load_vision


@pytest.fixture(scope="module")
def vision():
    return load_vision()


@pytest.fixture
def image():
    return torch.rand(2, 96, 160, 3, generator=torch.Generator().manual_seed(0))


def test_the_tower_alone_is_the_one_of_the_pair(vision, image):
    pair, pictures = load_contrastive_pair(), image.movedim(-1, 1)
    assert vision.encode_image(image, crop=False).image_embeds.equal(pair.encode_image(pictures))


def test_embeds_are_of_unit_length_and_differ(vision, image):
    output = vision.encode_image(image)
    embeds = output.image_embeds
    assert embeds.shape == (2, 192) and torch.allclose(embeds.norm(dim=1), torch.ones(2), atol=1e-5)
    assert not torch.allclose(embeds[0], embeds[1], atol=1e-3)
    assert output["image_embeds"] is embeds


def test_cropped_it_sees_the_middle_square_only(vision, image):
    def look(picture, crop):
        return vision.encode_image(picture, crop=crop).image_embeds

    assert look(image, True).equal(look(image[:, :, 32:128], False))
    assert not torch.allclose(look(image, True), look(image, False))


def test_transparency_is_left_out(vision, image):
    clear = torch.cat([image, torch.zeros(2, 96, 160, 1)], -1)
    assert vision.encode_image(clear).image_embeds.equal(vision.encode_image(image).image_embeds)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="image_tower/model.safetensors is missing"):
        load_image_tower(tmp_path)
