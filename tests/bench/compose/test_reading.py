"""What the judge's reading says of a picture of several concepts."""

from dataclasses import replace

import pytest
import torch

from concept_atelier.bench.compose.cases import COLOURS, Wanted, wanted
from concept_atelier.bench.compose.reading import answers, copies, exact, leak_matrix
from concept_atelier.lab.judge.judge import Reading, load_judge
from concept_atelier.lab.world.atlas import load_atlas


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def reading_of(judge, places):
    """A reading (1, ..., 8, 8) in which kinds stand in slices of rows and columns, all in the first colour."""
    objects = torch.zeros(1, len(judge.names) + 1, 8, 8)
    objects[:, -1] = 1
    for index, (rows, columns) in places.items():
        objects[:, :, rows, columns] = 0
        objects[:, index, rows, columns] = 1
    colours = torch.zeros(1, 8, 8, 8)
    colours[:, 1] = 1
    middles = torch.zeros(1, 2, 8, 8)
    for where in places.values():
        point_to_middle(middles, *where)
    return Reading(objects, torch.ones(1, 4, 8, 8), colours, torch.ones(1, 4, 8, 8), middles)


def point_to_middle(middles, rows, columns):
    """In middles (1, 2, h, w), let cells in these rows and columns be one thing."""
    down, across = torch.arange(rows.start, rows.stop), torch.arange(columns.start, columns.stop)
    middles[0, 0, rows, columns] = (down.float().mean() - down)[:, None]
    middles[0, 1, rows, columns] = across.float().mean() - across


def copy_to_the_right(reading):
    """The object in columns 0 to 3 a second time, in another colour."""
    reading.objects[:, :, 2:6, 5:8] = reading.objects[:, :, 2:6, :3]
    reading.colours[:, 1, :, 4:], reading.colours[:, 2, :, 4:] = 0, 1
    point_to_middle(reading.middles, slice(2, 6), slice(5, 8))


def test_a_second_copy_is_not_exactly_what_was_asked(judge):
    several, _ = wanted("test", 0, 0)
    names = frozenset(kind.name for kind in several.kinds)
    first, second = (judge.index(kind.name) for kind in several.kinds)
    reading = reading_of(judge, {first: (slice(2, 6), slice(0, 3)), second: (slice(6, 8), slice(3, 7))})
    assert exact(judge, reading, several, names)
    assert copies(judge, reading, names) == dict.fromkeys(names, 1)
    copy_to_the_right(reading)
    assert copies(judge, reading, names)[several.kinds[0].name] == 2
    assert not exact(judge, reading, several, names)


def test_place_colour_and_leak_are_read_off(judge):
    several, _ = wanted("test", 0, 0)
    names = frozenset(kind.name for kind in several.kinds)
    boxes = ((0, 0, 16, 8), (0, 8, 16, 16))
    asked = Wanted(several.kinds, (COLOURS[0], COLOURS[1]), boxes)
    first, second = (judge.index(kind.name) for kind in several.kinds)
    reading = reading_of(judge, {first: (slice(2, 6), slice(0, 3)), second: (slice(2, 6), slice(3, 7))})
    left, right = answers(judge, reading, asked, names)
    assert left["found"] and left["placed"] and left["leak"] == 0
    assert right["placed"] and right["leak"] == pytest.approx(0.25)
    assert left["colour"] and not right["colour"]
    uncoloured = replace(asked, colours=(None, None))
    assert [one["colour"] for one in answers(judge, reading, uncoloured, names)] == [None, None]
    by_tokens = replace(
        uncoloured, tokens=("<1>", "<2>")
    )  # learnt in the drawing's own colours, which is none of these
    assert [one["colour"] for one in answers(judge, reading, by_tokens, names)] == [False, False]
    assert answers(judge, reading, asked, frozenset()) == [{"found": False}] * 2
    assert leak_matrix([[left, right], [left, {"found": False}]], 2) == [[1.0, 0.0], [0.25, 0.75]]


def test_of_two_of_a_kind_each_is_the_one_of_its_colour(judge):
    kinds = wanted("test", 0, 0, alike=True)[0].kinds
    asked = Wanted(kinds, (COLOURS[1], COLOURS[0]), ((0, 0, 16, 8), (0, 8, 16, 16)))
    index, names = judge.index(kinds[0].name), frozenset({kinds[0].name})
    reading = reading_of(judge, {index: (slice(2, 6), slice(0, 3))})
    assert not exact(judge, reading, asked, names)
    copy_to_the_right(reading)
    assert exact(judge, reading, asked, names)
    first, second = answers(judge, reading, asked, names)
    assert first["colour"] and second["colour"] and not first["placed"] and not second["placed"]
    assert first["inside"] == [0, 1] and first["leak"] == 1


def two_objects(judge, **changes):
    """Two objects in the halves of a picture, what is asked, and the judge's reading of both in them."""
    several, _ = wanted("test", 0, 0)
    asked = Wanted(several.kinds, (None, None), ((0, 0, 16, 8), (0, 8, 16, 16)), **changes)
    first, second = (judge.index(kind.name) for kind in several.kinds)
    reading = reading_of(judge, {first: (slice(0, 8), slice(0, 4)), second: (slice(2, 6), slice(3, 7))})
    return asked, reading, frozenset(kind.name for kind in several.kinds)


def test_region_iou_is_of_cells_and_box(judge):
    """The first loses its corner to the second: 28 of 32 cells. Of the second 12 of 16 lie in its box of 32."""
    asked, reading, names = two_objects(judge)
    first, second = answers(judge, reading, asked, names)
    assert first["iou"] == pytest.approx(28 / 32) and second["iou"] == pytest.approx(12 / 36, abs=1e-4)
    assert "iou_found" not in first and "identity" not in first and "style" not in first


def test_a_place_that_words_found_is_compared_with_what_is_drawn(judge):
    """On any grid."""
    asked, reading, names = two_objects(judge)
    places = torch.zeros(2, 16, 16)
    places[0, :, :8], places[1, 4:12, 6:14] = 1, 1
    first, second = answers(judge, reading, asked, names, places)
    assert first["iou_found"] == pytest.approx(28 / 32) and second["iou_found"] == 1
    assert answers(judge, reading, asked, frozenset(), places)[0] == {"found": False}


def test_identity_is_likeness_of_the_cells_of_an_object_to_its_own_source(judge):
    asked, reading, names = two_objects(judge)
    reading.features[:] = 0
    reading.features[:, 0], reading.features[:, 1, 2:6, 3:7] = 1, 1
    sources = torch.tensor([[1.0, 0, 0, 0], [0.6, 0.8, 0, 0]])
    first, second = answers(judge, reading, asked, names, sources=sources)
    assert first["identity"] == 1 and second["identity"] == pytest.approx(1.4 / 2**0.5, abs=1e-4)


def test_a_style_is_read_where_each_object_stands(judge):
    whole = load_atlas().styles[1]
    asked, reading, names = two_objects(judge, whole=whole)
    reading.styles[:] = 0
    reading.styles[:, 1, :, :3], reading.styles[:, 2, :, 3:] = 1, 1
    first, second = answers(judge, reading, asked, names)
    assert first["style"] and not second["style"]


def test_places_of_two_of_a_kind_stand_by_their_own_objects(judge):
    """The region that counts for an object, by its colour, is the one its place is compared with."""
    kinds = wanted("test", 0, 0, alike=True)[0].kinds
    asked = Wanted(kinds, (COLOURS[1], COLOURS[0]), ((0, 0, 16, 8), (0, 8, 16, 16)))
    index = judge.index(kinds[0].name)
    reading = reading_of(judge, {index: (slice(2, 6), slice(0, 3))})
    copy_to_the_right(reading)
    places = torch.zeros(2, 8, 8)
    places[0, 2:6, 5:8], places[1, 2:6, :3] = 1, 1
    assert [one["iou_found"] for one in answers(judge, reading, asked, frozenset({kinds[0].name}), places)] == [1, 1]
