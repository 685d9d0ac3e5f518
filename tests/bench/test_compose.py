"""``bench compose``: what is asked, and what is read off a picture."""

import pytest
import torch

from concept_atelier.bench import compose
from concept_atelier.bench.harness import Request
from concept_atelier.lab.judge.judge import Reading, load_judge


@pytest.fixture(scope="module")
def judge():
    return load_judge()


@pytest.mark.parametrize("index", range(6))
def test_a_case_asks_for_as_many_objects_colours_and_boxes(index):
    several, one = compose.wanted("test", 0, index)
    count = (2, 3, 4)[index % 3]
    assert len(several.kinds) == len(set(several.colours)) == len(set(several.boxes)) == count
    covered = torch.stack([compose.mask_of(box) for box in several.boxes]).sum(0)
    assert torch.equal(covered, torch.ones(16, 16))
    assert all(kind.name in several.prompt for kind in several.kinds) and len(one.kinds) == 1
    assert compose.wanted("test", 0, index) == (several, one)


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
    several, _ = compose.wanted("test", 0, 0)
    names = frozenset(kind.name for kind in several.kinds)
    boxes = ((0, 0, 16, 8), (0, 8, 16, 16))
    asked = compose.Wanted(several.kinds, (compose.COLOURS[0], compose.COLOURS[1]), boxes)
    first, second = (judge.index(kind.name) for kind in several.kinds)
    reading = reading_of(judge, {first: (slice(2, 6), slice(0, 3)), second: (slice(2, 6), slice(3, 7))})
    left = compose.answer(judge, reading, asked, 0, names)
    assert left["found"] and left["placed"] and left["leak"] == 0
    right = compose.answer(judge, reading, asked, 1, names)
    assert right["placed"] and right["leak"] == pytest.approx(0.25)
    assert compose.answer(judge, reading, asked, 1, frozenset()) == {"found": False}


@pytest.mark.parametrize("method", [compose.PLAIN, *compose.METHODS])
def test_a_case_runs_by_every_method_and_is_the_same_again(method):
    options = {"method": method} | ({} if method == compose.PLAIN else {"preset": "small", "regions": "given"})
    request = Request(1, untrained=True, options=options)
    prepared = compose.prepare(request)
    row = compose.measure(prepared, request, 0)
    assert compose.measure(prepared, request, 0) == row
    figures = compose.figures([row], request)
    assert set(compose.FIGURES) == set(figures) and figures["exact"]["mean"] in (0.0, 1.0)
