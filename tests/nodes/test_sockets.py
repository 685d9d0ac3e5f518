"""What nodes read from IMAGE sockets and lists."""

import pytest
import torch

from concept_atelier.nodes.sockets import lines_of, picture_of


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


def test_lists_are_read_by_line_and_comma():
    assert lines_of(" cat, kitty\n\n teddy bear ,,\n") == ["cat", "kitty", "teddy bear"]
    assert lines_of(" \n,") == []
