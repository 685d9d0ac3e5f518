"""What the judge's reading says of a picture of several concepts."""

import pytest
import torch

from concept_atelier.bench.compose.cases import COLOURS, Wanted, wanted
from concept_atelier.bench.compose.reading import answers, exact, leak_matrix
from concept_atelier.lab.judge.judge import Reading, load_judge


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
    return Reading(objects, torch.ones(1, 4, 8, 8), colours, torch.ones(1, 4, 8, 8))


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
    assert answers(judge, reading, asked, frozenset()) == [{"found": False}] * 2
    assert leak_matrix([[left, right], [left, {"found": False}]], 2) == [[1.0, 0.0], [0.25, 0.75]]


def test_of_two_of_a_kind_each_is_the_one_of_its_colour(judge):
    kinds = wanted("test", 0, 0, alike=True)[0].kinds
    asked = Wanted(kinds, (COLOURS[1], COLOURS[0]), ((0, 0, 16, 8), (0, 8, 16, 16)))
    index, names = judge.index(kinds[0].name), frozenset({kinds[0].name})
    reading = reading_of(judge, {index: (slice(2, 6), slice(0, 3))})
    assert not exact(judge, reading, asked, names)
    reading.objects[:, :, 2:6, 5:8] = reading.objects[:, :, 2:6, :3]
    reading.colours[:, 1, :, 4:], reading.colours[:, 2, :, 4:] = 0, 1
    assert exact(judge, reading, asked, names)
    first, second = answers(judge, reading, asked, names)
    assert first["colour"] and second["colour"] and not first["placed"] and not second["placed"]
    assert first["inside"] == [0, 1] and first["leak"] == 1
