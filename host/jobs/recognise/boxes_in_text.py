"""Boxes in the answers of language models that see pictures: JSON, lists of four numbers, and ``<box>`` tags.

IPLoc (*Teaching VLMs to Localize Specific Objects from In-context Examples*, 2024) asks such a model for boxes in
thousandths of the sides; others answer in pixels or in shares of the sides.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....core.masks.boxes import Box
from ....core.messages import shown, there_are

ORDERS = {
    "automatic": None,
    "left, top, right, bottom": (0, 1, 2, 3),
    "top, left, bottom, right": (1, 0, 3, 2),
    "left, top, width, height": None,
}
"""What the four numbers of a box are, to where left, top, right and bottom stand among them."""
SIZED = "left, top, width, height"
UNITS = ("automatic", "pixels", "0 to 1", "0 to 1000")
BEYOND = 0.02
"""How far a box may reach over the rim, as a share of the side, before it is refused; models round."""

_KEYS = ("bbox_2d", "box_2d", "bbox", "box", "bounding_box", "boundingBox", "coordinates")
_NAMES = ("label", "name", "desc", "class", "category", "ref", "object")
_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_SIZES = ("x", "y", "width", "height")
_NUMBER = r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?"
_REF = re.compile(r"<\|?(?:ref|object_ref_start)\|?>(.*?)<\|?(?:/ref|object_ref_end)\|?>", re.DOTALL)
_TAG = re.compile(r"<\|?(?:box|box_start)\|?>(.*?)<\|?(?:/box|box_end)\|?>", re.DOTALL)
_FOUR = re.compile(r"[\s,;()\[\]]+".join([f"({_NUMBER})"] * 4))
_BRACKETED = re.compile(r"[(\[]\s*" + _FOUR.pattern + r"\s*[)\]]")


@dataclass(frozen=True)
class TextBox:
    """A box as a model wrote it.

    Attributes:
        numbers: its four numbers.
        name: what it is around, may be empty.
        source: ``tag``, ``box_2d``, ``corners`` or ``size`` where its notation says how to read it, else ``list``.
    """

    numbers: tuple[float, float, float, float]
    name: str
    source: str


@dataclass(frozen=True)
class ReadBox:
    """A box of a picture, as shares of its sides, its name, and how its numbers were read, for people."""

    box: Box
    name: str
    units: str


def boxes_in(text: str) -> list[TextBox]:
    """The boxes of one answer, in their order. An empty JSON list is an answer without boxes.

    Raises ``ValueError`` for an answer in which there is none otherwise, and for a box without four numbers.
    """
    found = list(_tagged(text))
    empty = False
    if not found:
        values = list(_json_values(text))
        found = [box for value in values for box in _in_json(value, "")]
        empty = not found and any(value in ([], {}) for value in values)
    if not found and not empty:
        whole = _FOUR.fullmatch(text.strip())
        groups = [whole.groups()] if whole else [match.groups() for match in _BRACKETED.finditer(text)]
        found = [TextBox(_four(numbers, text), "", "list") for numbers in groups]
    if not found and not empty:
        raise ValueError(
            f"no box was found in {shown(text.strip(), 120)}; expected such as [12, 30, 200, 180], JSON with bbox_2d, "
            "or <box>(12,30),(200,180)</box>"
        )
    return found


def read_box(given: TextBox, size: tuple[int, int], units: str, order: str) -> ReadBox:
    """A box as shares of the sides of a picture of ``size`` (height, width).

    Automatic units: numbers of at most 1 are shares, ``<box>`` and ``box_2d`` are thousandths, as are numbers that go
    beyond the picture but not beyond 1000; others are pixels. Automatic order: ``box_2d`` has the top first (Gemini),
    others the left.

    Raises ``ValueError`` for an unknown choice, and a box that is empty or lies outside of the picture.
    """
    if order not in ORDERS or units not in UNITS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, and units one of {', '.join(UNITS)}")
    left, top, right, bottom = _ordered(given, order)
    height, width = size
    chosen = _units(given, (left, top, right, bottom), size) if units == "automatic" else units
    across, down = {"pixels": (width, height), "0 to 1": (1, 1), "0 to 1000": (1000, 1000)}[chosen]
    box = (left / across, top / down, right / across, bottom / down)
    written = ", ".join(f"{number:g}" for number in given.numbers)
    if not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(
            f"the box [{written}] has no area when it is read as {_said(given, order)}; choose another order"
        )
    if min(box) < -BEYOND or max(box) > 1 + BEYOND:
        raise ValueError(
            f"the box [{written}] does not lie in the picture of {width}x{height} pixels when it is read as "
            f"{chosen}; choose other units, or set the size of the picture that the model saw"
        )
    return ReadBox((max(0.0, box[0]), max(0.0, box[1]), min(1.0, box[2]), min(1.0, box[3])), given.name, chosen)


def answers_of(text: str, count: int) -> list[str]:
    """The answer for each of ``count`` pictures: the whole text for one; else texts divided by lines of ``---``, or
    one line each.

    Raises ``ValueError`` for another number of answers than pictures.
    """
    if count == 1:
        return [text]
    parts = re.split(r"(?m)^\s*-{3,}\s*$", text)
    if len(parts) == 1:
        parts = [line for line in text.splitlines() if line.strip()]
    if len(parts) != count:
        raise ValueError(
            f"{there_are((count, 'picture'), (len(parts), 'answer'))}; write one answer a line, or divide answers by "
            "lines of ---"
        )
    return parts


def _tagged(text: str) -> Iterator[TextBox]:
    """Boxes in tags, each with the reference that stands last before it."""
    names = [(match.start(), match.group(1).strip()) for match in _REF.finditer(text)]
    for match in _TAG.finditer(text):
        before = [name for start, name in names if start < match.start()]
        numbers = re.findall(_NUMBER, match.group(1))
        yield TextBox(_four(numbers, match.group(0)), before[-1] if before else "", "tag")


def _json_values(text: str) -> Iterator[Any]:
    """Every JSON list or object of a text that stands in no other."""
    decoder, at = json.JSONDecoder(), 0
    while (start := _next(text, at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError):
            at = start + 1
            continue
        yield value


def _next(text: str, at: int) -> int:
    places = [place for place in (text.find("[", at), text.find("{", at)) if place >= 0]
    return min(places, default=-1)


def _in_json(value: Any, name: str, depth: int = 0) -> Iterator[TextBox]:
    """Boxes of a JSON value: objects with a box or corners, lists of four numbers, and lists and objects of these."""
    if depth > 20:
        return
    if isinstance(value, Mapping):
        name = next((str(value[key]) for key in _NAMES if isinstance(value.get(key), str)), name)
        for keys, source in (*((keys, "corners") for keys in _CORNERS), (_SIZES, "size")):
            if all(_is_number(value.get(key)) for key in keys):
                yield TextBox(_four([value[one] for one in keys], shown(value, 80)), name, source)
                return
        key = next((key for key in _KEYS if key in value), None)
        if key is not None:
            yield from _under(value[key], name, "box_2d" if key == "box_2d" else "list", depth)
            return
        for key, inner in value.items():
            yield from _in_json(inner, name or str(key), depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        flat = _flat(value)
        if len(flat) == 4:
            yield TextBox(_four(flat, shown(value, 80)), name, "list")
            return
        for inner in value:
            yield from _in_json(inner, name, depth + 1)


def _under(value: Any, name: str, source: str, depth: int) -> Iterator[TextBox]:
    """Boxes of what stands under the key of a box, which must be some."""
    if isinstance(value, str):
        value = [float(number) for number in re.findall(_NUMBER, value)]
    found = list(_in_json(value, name, depth + 1))
    if not found and value not in ([], None):
        raise ValueError(f"a box has four numbers, got {shown(value, 80)}")
    for one in found:
        yield TextBox(one.numbers, one.name, source if one.source == "list" else one.source)


def _flat(value: Sequence[Any]) -> list[Any]:
    """Four numbers, or two pairs of them, as four numbers; nothing for all else."""
    if len(value) == 2 and all(isinstance(one, list) and len(one) == 2 for one in value):
        value = [*value[0], *value[1]]
    return list(value) if len(value) == 4 and all(_is_number(one) for one in value) else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _four(numbers: Sequence[Any], text: str) -> tuple[float, float, float, float]:
    if len(numbers) != 4 or not all(math.isfinite(float(one)) for one in numbers):
        raise ValueError(f"a box has four finite numbers, got {shown(text, 80)}")
    first, second, third, fourth = (float(one) for one in numbers)
    return first, second, third, fourth


def _ordered(given: TextBox, order: str) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    if given.source == "corners":
        return given.numbers
    if given.source == "size" or order == SIZED:
        left, top, width, height = given.numbers
        return left, top, left + width, top + height
    places = ORDERS[order] or ((1, 0, 3, 2) if given.source == "box_2d" else (0, 1, 2, 3))
    left, top, right, bottom = (given.numbers[place] for place in places)
    return left, top, right, bottom


def _said(given: TextBox, order: str) -> str:
    if order != "automatic":
        return order
    return "top, left, bottom, right" if given.source == "box_2d" else "left, top, right, bottom"


def _units(given: TextBox, box: Box, size: tuple[int, int]) -> str:
    if max(abs(one) for one in box) <= 1:
        return "0 to 1"
    if max(box) > 1000:
        return "pixels"
    outside = box[2] > size[1] * (1 + BEYOND) or box[3] > size[0] * (1 + BEYOND)
    return "0 to 1000" if outside or given.source in ("tag", "box_2d") else "pixels"
