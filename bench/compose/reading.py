"""What the judge sees in a picture of several concepts."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from ...lab.judge.judge import Judge, Reading
from ...lab.judge.scenes import colour_index
from ...lab.world.atlas import load_atlas
from .cases import CELLS, Wanted, mask_of

Answer = dict[str, Any]


def answers(
    judge: Judge,
    reading: Reading,
    asked: Wanted,
    found: frozenset[str],
    places: Tensor | None = None,
    sources: Tensor | None = None,
) -> list[Answer]:
    """Of each object whether it is found, and if so whether its colour and place are its own, which share of it lies
    in each box, how much in the boxes of others, and how far it fills its own (``iou``).

    Args:
        judge: who reads.
        reading: of one picture.
        asked: what it shall show.
        found: the names of what it shows.
        places: (R, h, w) in 0..1, where the objects' words found them: ``iou_found`` says how well each fits.
        sources: (R, D) unit vectors of the objects as they were learnt: ``identity`` says how alike each is.
    """
    if asked.alike:
        seen = _alike(judge, reading, asked)
    else:
        seen = [_one(judge, reading, asked, number, found) for number in range(len(asked.kinds))]
    said: list[Answer] = []
    for number, (answer, cells) in enumerate(seen):
        if cells is not None and cells.any():
            answer |= {"style": _in_style(reading, asked, cells)} if asked.whole else {}
            answer |= {} if places is None else {"iou_found": _iou(cells, _on(places[number], cells) >= 0.5)}
            answer |= {} if sources is None else {"identity": _likeness(reading, cells, sources[number])}
        said.append(answer)
    return said


def exact(judge: Judge, reading: Reading, asked: Wanted, found: frozenset[str]) -> bool:
    """Whether the picture shows exactly the objects asked for, each once; of objects of one kind, as many."""
    wanted = Counter(kind.name for kind in asked.kinds)
    return found == set(wanted) and copies(judge, reading, found) == wanted


def copies(judge: Judge, reading: Reading, found: frozenset[str]) -> Counter[str]:
    """How often a picture shows each kind that is found in it: once at least."""
    return Counter({name: max(1, reading.number_of(judge.index(name))) for name in sorted(found)})


Seen = tuple[Answer, Tensor | None]
"""The answer for an object, and the cells (h, w) bool that show it; None where it is not found."""


def _one(judge: Judge, reading: Reading, asked: Wanted, number: int, found: frozenset[str]) -> Seen:
    kind = asked.kinds[number]
    if kind.name not in found:
        return {"found": False}, None
    index = judge.index(kind.name)
    colour = int(reading.colour_of(index)[0].argmax())
    down, across = (float(share) * CELLS for share in reading.middle_of(index)[0])
    cells = reading.objects[0].argmax(0) == index
    return _placed(asked, number, colour, (down, across), cells), cells


def _alike(judge: Judge, reading: Reading, asked: Wanted) -> list[Seen]:
    """Objects of one kind: its things, the largest first, stand for the objects so that most colours, and then most
    places, are right."""
    seen = reading.things_of(judge.index(asked.kinds[0].name))[: len(asked.kinds)]
    given = [
        [_placed(asked, number, _colour(reading, cells), _middle(cells), cells) for cells in seen]
        for number in range(len(asked.kinds))
    ]
    numbers = range(len(asked.kinds))

    def rights(order: Sequence[int]) -> tuple[int, int]:
        chosen = [given[number][at] for at, number in enumerate(order)]
        return sum(bool(one["colour"]) for one in chosen), sum(bool(one["placed"]) for one in chosen)

    best = max(permutations(numbers, len(seen)), key=rights)
    of_number: dict[int, Seen] = {number: (given[number][at], seen[at]) for at, number in enumerate(best)}
    return [of_number.get(number, ({"found": False}, None)) for number in numbers]


def _placed(asked: Wanted, number: int, colour: int, middle: tuple[float, float], cells: Tensor) -> Answer:
    """The answer for an object of this colour and middle (in cells of boxes) on cells (h, w) bool."""
    top, left, bottom, right = asked.boxes[number]
    boxes = _on(torch.stack([mask_of(box) for box in asked.boxes]), cells)  # (R, h, w)
    inside = (boxes * cells.float()).sum((1, 2)) / max(float(cells.sum()), 1.0)  # (R,)
    said = asked.colours[number]
    learnt = bool(asked.tokens)  # in the drawing's own colours, for which no word stands
    return {
        "found": True,
        "colour": colour == colour_index(said) if said is not None or learnt else None,
        "placed": top <= middle[0] <= bottom and left <= middle[1] <= right,
        "inside": [round(float(share), 4) for share in inside],
        "leak": round(float(inside.sum() - inside[number]), 4),
        "iou": _iou(cells, boxes[number]),
    }


def _on(masks: Tensor, cells: Tensor) -> Tensor:
    """Masks (..., a, b) in 0..1 as shares of cells (h, w)."""
    flat = masks.reshape(1, -1, *masks.shape[-2:]).float()
    return torch.nn.functional.interpolate(flat, size=cells.shape, mode="area").reshape(*masks.shape[:-2], *cells.shape)


def _iou(cells: Tensor, mask: Tensor) -> float:
    """Of cells (h, w) bool and a mask (h, w) in 0..1."""
    both = torch.stack([cells.float(), mask.float()])
    return round(float(both.amin(0).sum() / both.amax(0).sum().clamp_min(1e-6)), 4)


def _in_style(reading: Reading, asked: Wanted, cells: Tensor) -> bool:
    """Whether these cells (h, w) are likeliest in the style of the whole picture."""
    return load_atlas().styles[int(reading.styles[0][:, cells].mean(1).argmax())] == asked.whole


def _likeness(reading: Reading, cells: Tensor, source: Tensor) -> float:
    """Cosine of what these cells (h, w) show and a source (D,)."""
    return round(float(reading.describe(cells[None])[0] @ source), 4)


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
