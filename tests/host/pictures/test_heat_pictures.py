"""Heat maps as pictures: sizes, order, and pictures that do not fit."""

import pytest
import torch

from concept_atelier.host.pictures.drawing import heat_over
from concept_atelier.host.pictures.heat_pictures import GAP, heat_grid, heat_sheet, stretch_note, target_size


def test_the_size_is_the_pictures_or_eight_pixels_a_cell():
    samples = torch.zeros(2, 4, 5, 7)
    assert target_size(None, samples, 8) == (40, 56) and target_size(None, samples, 16) == (80, 112)
    assert target_size(torch.zeros(2, 30, 50, 3), samples, 8) == (30, 50)


def test_all_pictures_of_the_first_word_come_first(generator):
    heat, image = torch.rand(2, 3, 16, 24, generator=generator), torch.rand(3, 16, 24, 3, generator=generator)
    shown = heat_grid(heat, ["cat", "dog"], image)
    assert len(shown) == 6
    assert torch.equal(shown[4], heat_over(image[1], heat[1, 1], "dog"))
    assert torch.equal(shown[2], heat_over(image[2], heat[0, 2], "cat"))


def test_without_a_picture_maps_lie_on_black(generator):
    heat = torch.rand(1, 2, 16, 24, generator=generator)
    assert torch.equal(heat_grid(heat, ["cat"], None), heat_grid(heat, ["cat"], torch.zeros(2, 16, 24, 3)))


def test_alpha_and_grey_pictures_are_laid_under_too(generator):
    heat, image = torch.rand(1, 1, 16, 24, generator=generator), torch.rand(1, 16, 24, 4, generator=generator)
    assert torch.equal(heat_grid(heat, ["x"], image), heat_grid(heat, ["x"], image[..., :3]))
    grey = image[..., :1]
    assert torch.allclose(heat_grid(heat, ["x"], grey), heat_grid(heat, ["x"], grey.repeat(1, 1, 1, 3)), atol=1 / 255)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 16, 16, 3), "2 latents were sampled, but 3 pictures"),
        (torch.zeros(1, 16, 16, 3), "but 1 pictures"),
        (torch.full((2, 16, 16, 3), torch.nan), "NaN or infinite"),
    ],
)
def test_pictures_that_do_not_belong_to_the_maps(image, message):
    with pytest.raises(ValueError, match=message):
        heat_grid(torch.zeros(1, 2, 16, 16), ["cat"], image)


def columns_and_rows(sheet):
    """How many maps lie side by side and below one another: runs that are not the sheet's ground."""
    lit = (sheet[0] - 24 / 255).abs().amax(-1) > 0.02
    runs = [(line[1:] & ~line[:-1]).sum().item() for line in (lit.float().mean(0) > 0.3, lit.float().mean(1) > 0.3)]
    return tuple(runs)


@pytest.mark.parametrize(
    ("words", "pictures", "layout"), [(3, 4, (4, 3)), (5, 1, (3, 2)), (1, 1, (1, 1)), (1, 2, (2, 1))]
)
def test_a_sheet_has_a_row_a_word_or_few_rows_for_one_picture(words, pictures, layout):
    heat = torch.full((words, pictures, 16, 24), 0.7)
    sheet = heat_sheet(heat, ["w"] * words, None)
    assert columns_and_rows(sheet) == layout


def test_words_stand_above_their_maps():
    heat = torch.full((2, 2, 16, 24), 0.7)
    one, other = heat_sheet(heat, ["cat", "dog"], None), heat_sheet(heat, ["cat", "cat"], None)
    changed = (one != other).any(-1)[0].nonzero()
    height = 320 + (one.shape[1] - 2 * (320 + GAP)) // 2 + GAP
    assert (changed[:, 0] >= height).all() and (changed[:, 0] < 2 * height - 320).all() and len(changed)


def test_a_sheet_of_many_large_maps_is_made_smaller():
    sheet = heat_sheet(torch.zeros(2, 5, 512, 512), ["a", "b"], None)
    assert 2000 < sheet.shape[2] < 2100


@pytest.mark.parametrize(
    ("latent", "size", "said"),
    [
        ((8, 12), (64, 96), False),
        ((8, 12), (71, 103), False),  # what fills no whole cell is left out
        ((8, 12), (256, 384), False),
        ((8, 12), (96, 64), True),
        ((8, 12), (64, 110), True),
        ((1, 1), (8, 15), False),
        ((64, 64), (512, 600), True),
    ],
)
def test_maps_that_were_stretched_to_other_proportions_are_named(latent, size, said):
    assert bool(stretch_note(latent, size)) == said
