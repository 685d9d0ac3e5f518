"""How many things of a kind there are: known cells, and scenes of the lab's own world in which copies nearly touch."""

import random

import pytest
import torch

from concept_atelier.bench.cases import tensor_of
from concept_atelier.lab.judge.counter import REACH, CounterNet, things
from concept_atelier.lab.judge.judge import load_judge
from concept_atelier.lab.judge.scenes import cover_of, middles_of
from concept_atelier.lab.world.backgrounds import sample_background
from concept_atelier.lab.world.scene import Look, compose
from concept_atelier.lab.world.settings import SceneSettings


def pointing(cells, *middles):
    """(2, h, w): every cell of a group (h, w) of numbers 1, 2 ... points to its middle (down, across)."""
    places = torch.stack(torch.meshgrid(*(torch.arange(side) for side in cells.shape), indexing="ij"))
    aims = torch.tensor([(0.0, 0.0), *middles])[cells].movedim(-1, 0)
    return aims - places


@pytest.fixture
def pair():
    """Two things side by side without a gap, the right one larger."""
    cells = torch.zeros(8, 16, dtype=torch.long)
    cells[2:6, 3:7], cells[2:7, 7:12] = 1, 2
    return cells


def test_cells_that_point_to_one_middle_are_one_thing(pair):
    found = things(pair > 0, pointing(pair, (3.5, 4.5), (4.0, 9.0)), 3)
    assert len(found) == 2
    assert torch.equal(found[0], pair == 2) and torch.equal(found[1], pair == 1)  # the largest first
    (one,) = things(pair > 0, pointing(pair, (4.0, 7.0), (4.0, 7.0 + 0.5 * REACH)), 3)
    assert torch.equal(one, pair > 0)


def test_a_thing_in_two_parts_is_one(pair):
    """What covers the middle of a thing leaves two parts, which point to the same place."""
    pair[pair == 2] = 0
    pair[2:6, 9:12] = 1
    (one,) = things(pair > 0, pointing(pair, (3.5, 6.5)), 3)
    assert torch.equal(one, pair == 1)


def test_few_cells_are_no_thing_and_nothing_has_none(pair):
    assert things(pair > 5, pointing(pair, (0.0, 0.0), (0.0, 0.0)), 3) == []
    pair[0, 0] = 3
    found = things(pair > 0, pointing(pair, (3.5, 4.5), (4.0, 9.0), (0.0, 0.0)), 3)
    assert len(found) == 2 and not any(thing[0, 0] for thing in found)


def test_a_thing_much_smaller_than_the_largest_is_a_part_of_something_else():
    cells = torch.zeros(8, 16, dtype=torch.long)
    cells[0:6, 0:6], cells[0:2, 12:14] = 1, 2
    middles = pointing(cells, (2.5, 2.5), (0.5, 12.5))
    assert len(things(cells > 0, middles, 3)) == 1  # 4 of 36 cells
    cells[0:2, 14], middles[:, 0:2, 14] = 2, torch.tensor([[0.5, -0.5], [-1.5, -1.5]])
    assert len(things(cells > 0, middles, 3)) == 2


def copies(number, gap, seed, other=None):
    """A picture (3, 128, 128) of so many copies of one kind, so far apart, and perhaps another object."""
    rng = random.Random(seed)
    name = ("cat", "rocket", "house", "fish", "apple", "snail")[seed % 6]
    looks = [Look(name, "flat", None, name) for _ in range(number)]
    looks += [] if other is None else [Look(other, "flat", None, other)]
    drawn, objects = compose(rng, looks, sample_background(rng, 0.0), SceneSettings(gap=gap))
    return name, tensor_of(drawn), objects


@pytest.mark.parametrize(("number", "gap"), [(1, 0.03), (2, 0.03), (2, 0.0), (3, 0.03)])
def test_copies_that_nearly_touch_are_counted(number, gap):
    """Aim: nine scenes of ten; connected regions of cells, which the judge took before, count two as one in a third."""
    drawn = [copies(number, gap, seed, "car" if number < 3 else None) for seed in range(24)]
    judge = load_judge()
    reading = judge.look(torch.stack([picture for _, picture, _ in drawn]))
    counted = [len(reading.things_of(judge.index(name), row)) for row, (name, *_) in enumerate(drawn)]
    assert sum(count == number for count in counted) >= 22, counted


def test_cells_point_to_the_middle_of_their_own_object():
    _, picture, objects = copies(2, 0.03, 1)
    truth = torch.from_numpy(middles_of(objects))
    judge = load_judge()
    pointed = judge.look(picture[None]).middles[0]
    cells = torch.stack([torch.from_numpy(cover_of(thing.mask)) > 0.9 for thing in objects])
    error = (pointed - truth).norm(dim=0)[cells.any(0)]
    assert float(error.mean()) < 0.6  # cells of 8 pixels
    for thing, own in zip(objects, cells, strict=True):
        top, left, height, width = thing.box
        places = own.nonzero() + truth[:, own].T + 0.5
        torch.testing.assert_close(places, torch.tensor([[top + height / 2, left + width / 2]]).expand_as(places) / 8)


def test_the_counter_keeps_the_size_of_what_it_reads():
    assert CounterNet(features=5, width=4)(torch.zeros(2, 5, 6, 9)).shape == (2, 2, 6, 9)
