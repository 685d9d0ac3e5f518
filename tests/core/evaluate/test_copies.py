"""Counting concepts by windows: known answers, with an encoder that sees how much of each colour a window holds."""

import pytest
import torch

from concept_atelier.core.evaluate.copies import copies_of, counted, least_alike, windows_of

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


def count(*pictures):
    windows = windows_of(SIZE)
    own = picture(*SQUARES.values())
    masks = torch.stack([mask(place) for place, _ in SQUARES.values()])
    sources = torch.tensor([RED, GREEN])
    drawn = torch.stack([seen(one, windows) for one in pictures])
    return copies_of(sources, seen(own, windows), windows, masks, drawn, windows).T.tolist()


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


def test_a_concept_that_fills_its_picture_is_distinguished_from_the_others():
    windows = windows_of(SIZE)
    masks = torch.ones(2, *SIZE, dtype=torch.bool)
    alike = torch.tensor([0.9, 0.3]).repeat(len(windows), 1)
    assert torch.isfinite(least_alike(alike, windows, masks)).all()


def test_of_windows_that_overlap_one_counts():
    windows = [(0, 0, 10, 10), (0, 2, 10, 12), (0, 30, 10, 40)]
    alike = torch.tensor([[0.9, 0.1], [0.95, 0.1], [0.2, 0.8]])
    assert counted(alike, windows, torch.tensor([0.5, 0.5])).tolist() == [1, 1]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (512, 512)])
def test_windows_lie_in_the_picture(size):
    assert all(0 <= a < c <= size[0] and 0 <= b < d <= size[1] for a, b, c, d in windows_of(size))
