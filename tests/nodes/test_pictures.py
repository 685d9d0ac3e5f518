"""What nodes read from IMAGE and MASK sockets, and show under themselves."""

import pytest
import torch

from concept_atelier.nodes.pictures import first_only, masks_of, picture_of, stretched, text_under


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_image_becomes_one_rgb_picture(channels, generator):
    image = torch.rand(2, 5, 7, channels, generator=generator)
    picture = picture_of(image)
    assert picture.shape == (1, 3, 5, 7)
    assert torch.equal(picture[0, 0], image[0, ..., 0])
    assert torch.equal(picture[0, 2], image[0, ..., min(2, channels - 1)])


def test_the_image_itself_is_left_alone():
    image = torch.zeros(1, 4, 4, 3)
    picture_of(image).fill_(1)
    assert image.sum() == 0


@pytest.mark.parametrize("shape", [(4, 4, 3), (0, 4, 4, 3), (1, 4, 4, 2), (1, 3, 4, 4, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="an IMAGE must be"):
        picture_of(torch.zeros(shape))


def test_masks_may_lack_their_number_or_have_a_channel():
    masks = torch.rand(2, 4, 6)
    assert torch.equal(masks_of(masks), masks) and torch.equal(masks_of(masks[:, None]), masks)
    assert torch.equal(masks_of(masks[0]), masks[:1])
    assert torch.equal(masks_of(masks > 0.5), (masks > 0.5).float())
    with pytest.raises(ValueError, match="NaN or infinite"):
        masks_of(torch.full((1, 4, 4), float("nan")))


@pytest.mark.parametrize(("size", "said"), [((64, 96), False), ((32, 48), False), ((65, 96), False), ((96, 64), True)])
def test_masks_of_other_proportions_are_named(size, said):
    note = stretched(torch.zeros(1, *size), torch.zeros(1, 64, 96, 3))
    assert note == ("The masks of 64x96 pixels were stretched to the picture of 96x64." if said else "")


def test_pictures_of_a_batch_that_are_not_read_are_named():
    one, five = torch.zeros(1, 4, 4, 3), torch.zeros(5, 4, 4, 3)
    assert first_only(image=one) == ""
    assert first_only(image=five, other_image=one) == "Of the 5 pictures of image, the first was read."
    assert text_under("two concepts", "", first_only(image=five))["text"] == (
        "two concepts\nOf the 5 pictures of image, the first was read.",
    )
    assert text_under("", "") == {}
