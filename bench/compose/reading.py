"""What the judge sees in a picture of several concepts."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from ...lab.judge.judge import Judge, Reading, regions
from ...lab.judge.scenes import colour_index
from .cases import CELLS, Wanted, mask_of

LEAST = 3
"""Cells from which a region is one of a kind."""

Answer = dict[str, Any]


def answers(judge: Judge, reading: Reading, asked: Wanted, found: frozenset[str]) -> list[Answer]:
    """Of each object whether it is found, and if so whether its colour and place are its own, which share of it lies
    in each box, and how much in the boxes of others."""
    if asked.alike:
        return _alike(judge, reading, asked)
    return [_answer(judge, reading, asked, number, found) for number in range(len(asked.kinds))]


def exact(judge: Judge, reading: Reading, asked: Wanted, found: frozenset[str]) -> bool:
    """Whether the picture shows exactly the objects asked for; of objects of one kind, as many."""
    names = {kind.name for kind in asked.kinds}
    if not asked.alike:
        return found == names
    return found == names and reading.number_of(judge.index(asked.kinds[0].name), LEAST)[0] == len(asked.kinds)


def _answer(judge: Judge, reading: Reading, asked: Wanted, number: int, found: frozenset[str]) -> Answer:
    kind = asked.kinds[number]
    if kind.name not in found:
        return {"found": False}
    index = judge.index(kind.name)
    colour = int(reading.colour_of(index)[0].argmax())
    down, across = (float(share) * CELLS for share in reading.middle_of(index)[0])
    return _placed(asked, number, colour, (down, across), reading.objects[0].argmax(0) == index)


def _alike(judge: Judge, reading: Reading, asked: Wanted) -> list[Answer]:
    """Objects of one kind: its regions, the largest first, stand for the objects so that most colours, and then most
    places, are right."""
    index = judge.index(asked.kinds[0].name)
    seen = regions(reading.objects[0].argmax(0) == index, LEAST)[: len(asked.kinds)]
    given = [
        [_placed(asked, number, _colour(reading, cells), _middle(cells), cells) for cells in seen]
        for number in range(len(asked.kinds))
    ]
    numbers = range(len(asked.kinds))

    def rights(order: Sequence[int]) -> tuple[int, int]:
        chosen = [given[number][at] for at, number in enumerate(order)]
        return sum(bool(one["colour"]) for one in chosen), sum(bool(one["placed"]) for one in chosen)

    best = max(permutations(numbers, len(seen)), key=rights)
    of_number = {number: given[number][at] for at, number in enumerate(best)}
    return [of_number.get(number, {"found": False}) for number in numbers]


def _placed(asked: Wanted, number: int, colour: int, middle: tuple[float, float], cells: Tensor) -> Answer:
    """The answer for an object of this colour and middle (in cells of boxes) on cells (h, w) bool."""
    top, left, bottom, right = asked.boxes[number]
    boxes = torch.stack([mask_of(box) for box in asked.boxes])[None]  # (1, R, 16, 16)
    boxes = torch.nn.functional.interpolate(boxes, size=cells.shape, mode="area")[0]
    inside = (boxes * cells.float()).sum((1, 2)) / max(float(cells.sum()), 1.0)  # (R,)
    said = asked.colours[number]
    return {
        "found": True,
        "colour": None if said is None else colour == colour_index(said),
        "placed": top <= middle[0] <= bottom and left <= middle[1] <= right,
        "inside": [round(float(share), 4) for share in inside],
        "leak": round(float(inside.sum() - inside[number]), 4),
    }


def _colour(reading: Reading, cells: Tensor) -> int:
    return int(reading.colours[0][:, cells].mean(1).argmax())


def _middle(cells: Tensor) -> tuple[float, float]:
    middle = (cells.nonzero().float() + 0.5).mean(0)
    return float(middle[0]) * CELLS / cells.shape[0], float(middle[1]) * CELLS / cells.shape[1]


def leak_matrix(rows: Sequence[Sequence[Answer]], count: int) -> list[list[float | None]]:
    """How much of concept i, where it is found, lies in the box of concept j, over pictures of so many concepts."""
    found: list[list[float | None]] = []
    for number in range(count):
        own = [row[number]["inside"] for row in rows if len(row) == count and row[number]["found"]]
        found.append([round(sum(one[j] for one in own) / len(own), 4) if own else None for j in range(count)])
    return found
