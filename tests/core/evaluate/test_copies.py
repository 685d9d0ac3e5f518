"""Counting concepts by windows: known answers, with an encoder that sees how much of each colour a window holds."""

import pytest
import torch

from concept_atelier.core.evaluate.copies import (
    SourceWindows,
    bounds_of,
    counted,
    window_maps,
    windows_of,
)
from concept_atelier.core.evaluate.leaks import shares_in_regions
from concept_atelier.core.evaluate.similarity import similarity

SIZE = (48, 64)
RED, GREEN = (1.0, 0.0, 0.1), (0.0, 1.0, 0.1)
SQUARES = {"red": ((4, 4), RED), "green": ((26, 40), GREEN)}
SIDE = 18


def picture(*things):
    """(3, H, W) grey with squares (top, left), colour."""
    drawn = torch.full((3, *SIZE), 0.3)
    for (top, left), colour in things:
        drawn[:, top : top + SIDE, left : left + SIDE] = torch.tensor(colour)[:, None, None]
    return drawn


def mask(place):
    held = torch.zeros(SIZE, dtype=torch.bool)
    held[place[0] : place[0] + SIDE, place[1] : place[1] + SIDE] = True
    return held


def seen(drawn, windows):
    """(W, 3) the mean colour of each window."""
    return torch.stack([drawn[:, a:c, b:d].mean((1, 2)) for a, b, c, d in windows])


LOOKS = torch.tensor([RED, GREEN])


def own_windows(*names):
    """The squares of these names in one picture."""
    numbers = [list(SQUARES).index(name) for name in names]
    masks = torch.stack([mask(SQUARES[name][0]) for name in names])
    windows = windows_of(SIZE)
    return SourceWindows(seen(picture(*(SQUARES[name] for name in names)), windows), windows, masks, numbers)


def count(*pictures, sources=(("red", "green"),)):
    windows = windows_of(SIZE)
    bounds = bounds_of(LOOKS, [own_windows(*names) for names in sources])
    drawn = torch.stack([seen(one, windows) for one in pictures])
    return [counted(alike, windows, bounds.least).tolist() for alike in similarity(drawn, LOOKS)]


def test_windows_reach_every_edge():
    windows = windows_of(SIZE)
    for at, edge in ((0, 0), (1, 0), (2, SIZE[0]), (3, SIZE[1])):
        assert (max if edge else min)(window[at] for window in windows) == edge
    assert len(windows) == len(set(windows)) and all(c - a == d - b for a, b, c, d in windows)


def test_each_concept_is_counted():
    red, green = SQUARES.values()
    second = ((26, 6), RED)
    assert count(picture(red, green), picture(red, green, second), picture(green), picture()) == [
        [1, 1],
        [2, 1],
        [0, 1],
        [0, 0],
    ]


def test_concepts_of_different_pictures_are_counted():
    red, green = SQUARES.values()
    found = count(picture(red, green), picture(green), picture(), sources=(("red",), ("green",)))
    assert found == [[1, 1], [0, 1], [0, 0]]


def test_a_concept_that_fills_its_picture_is_distinguished_from_the_others():
    """Nothing lies beside either; what the other looks like, at 0.3 and 0.4, is then what a concept differs from."""
    windows = windows_of(SIZE)[:3]
    masks = torch.zeros(2, *SIZE, dtype=torch.bool)
    for number, (top, left, bottom, right) in enumerate(windows[:2]):
        masks[number, top:bottom, left:right] = True
    looks = torch.eye(2)
    own = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    alone = [SourceWindows(own[n : n + 1], windows[n : n + 1], masks[n : n + 1], [n]) for n in range(2)]
    bounds = bounds_of(looks, alone)
    assert bounds.own.tolist() == [1, 1] and bounds.beside.tolist() == [0, 0] and bounds.least.tolist() == [0.5, 0.5]


def test_another_pictures_concept_is_something_to_differ_from():
    """Red, and an orange thing of another picture, whose own window is as like red as 0.8."""
    windows, whole = [(0, 0, 10, 10), (0, 20, 10, 30)], torch.zeros(1, 10, 30, dtype=torch.bool)
    whole[:, :10, :10] = True
    looks = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    seen_beside = torch.tensor([0.0, 1.0])
    pictures = [SourceWindows(torch.stack([look, seen_beside]), windows, whole, [n]) for n, look in enumerate(looks)]
    bounds = bounds_of(looks, pictures)
    torch.testing.assert_close(bounds.beside, torch.tensor([0.8, 0.8]))
    torch.testing.assert_close(bounds.own, torch.ones(2))


def test_windows_say_where_a_concept_is():
    """Nearly all of each square's map lies within the square and a small rim, and what is not there has no map."""
    windows, bounds = windows_of(SIZE), bounds_of(LOOKS, [own_windows("red", "green")])
    places = {"red": (20, 8), "green": (6, 42)}
    alike = similarity(seen(picture(*((places[name], SQUARES[name][1]) for name in places)), windows)[None], LOOKS)[0]
    maps = window_maps(alike, windows, bounds, SIZE)
    left = torch.zeros(SIZE)
    left[:, :32] = 1
    shares, outside = shares_in_regions(maps[:, None], torch.stack([left, 1 - left]))
    torch.testing.assert_close(shares[:, 0], torch.eye(2), atol=0.02, rtol=0)
    assert not outside.any() and maps.shape[1:] == (48, 64)
    one = similarity(seen(picture((places["red"], RED)), windows)[None], LOOKS)[0]
    assert not window_maps(one, windows, bounds, SIZE)[1].any()


def test_two_copies_share_a_map():
    windows, bounds = windows_of(SIZE), bounds_of(LOOKS, [own_windows("red", "green")])
    alike = similarity(seen(picture(((15, 2), RED), ((15, 44), RED)), windows)[None], LOOKS)[0]
    left = torch.zeros(1, *SIZE)
    left[..., :32] = 1
    share, outside = shares_in_regions(window_maps(alike, windows, bounds, SIZE)[:1, None], left)
    assert float(share) == pytest.approx(0.5, abs=0.02) and float(outside) == pytest.approx(0.5, abs=0.02)


def test_of_windows_that_overlap_one_counts():
    windows = [(0, 0, 10, 10), (0, 2, 10, 12), (0, 30, 10, 40)]
    alike = torch.tensor([[0.9, 0.1], [0.95, 0.1], [0.2, 0.8]])
    assert counted(alike, windows, torch.tensor([0.5, 0.5])).tolist() == [1, 1]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (512, 512)])
def test_windows_lie_in_the_picture(size):
    assert all(0 <= a < c <= size[0] and 0 <= b < d <= size[1] for a, b, c, d in windows_of(size))
