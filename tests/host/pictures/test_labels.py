"""Labels: inside the picture, apart from one another, large enough."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from concept_atelier.host.pictures.labels import Label, fitted, text_colour, write_labels, write_line

RED, BLUE = (255, 0, 0), (0, 0, 255)


def written(size, *labels):
    """Where each label's colour stands on a black picture of (w, h): (left, top, right, bottom)."""
    image = Image.new("RGB", size)
    write_labels(image, labels)
    pixels = np.asarray(image).astype(int)
    boxes = []
    for label in labels:
        rows, columns = np.nonzero(abs(pixels - np.array(label.colour)).max(-1) < 40)
        boxes.append((columns.min(), rows.min(), columns.max(), rows.max()))
    return boxes


@pytest.mark.parametrize("at", [(0, 0), (320, 320), (0, 320), (160, 160)])
def test_a_label_stays_inside(at):
    ((left, top, right, bottom),) = written((320, 320), Label("<a-long-name> 1.25", at, RED))
    assert left >= 1 and top >= 1 and right < 319 and bottom < 319
    if at == (160, 160):
        assert abs((left + right) / 2 - 160) < 2 and abs((top + bottom) / 2 - 160) < 2


def test_labels_of_one_place_do_not_cover_each_other():
    one, other = written((320, 320), Label("<1>", (160, 160), RED), Label("<2>", (160, 160), BLUE))
    assert one[3] < other[1] or other[3] < one[1]


def test_letters_grow_with_the_picture():
    heights = [box[3] - box[1] for (box,) in (written((s, s), Label("<1>", (s / 2, s / 2), RED)) for s in (320, 1280))]
    assert heights[1] > 3 * heights[0] > 30


def test_a_long_text_is_written_smaller():
    text = "hippopotamus " * 4
    assert fitted(text, 40, 300).getlength(text) <= 300
    assert fitted("cat", 40, 300).getlength("cat") == fitted("cat", 40, 3000).getlength("cat")


def test_no_text_is_no_label():
    image = Image.new("RGB", (320, 320))
    write_labels(image, [Label("", (10, 10), RED)])
    assert not np.asarray(image).any()


def test_text_is_dark_on_light_colours():
    assert (text_colour((240, 160, 30)), text_colour((40, 130, 230))) == ("black", "white")


@pytest.mark.parametrize("name", ["x" * 1_000_000, "two\nlines", "\x1b[2J", "\ud800", ""])
def test_names_of_any_kind_are_written_in_one_line(name):
    image = Image.new("RGB", (200, 40), "white")
    write_line(ImageDraw.Draw(image), (2, 20), f"<{name}>", "black", 16, 190, "lm")
    write_labels(image, [Label(f"<{name}>", (100, 20), (0, 0, 0))])
    assert image.getcolors(1 << 20) != [(200 * 40, (255, 255, 255))]
