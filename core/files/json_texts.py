"""JSON from anywhere, read so that no text of it can do more than be refused, in one sentence."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ..messages import plain, shown

MAX_BYTES = 64 * 2**20
"""Workflows of thousands of nodes take a few MB."""
MAX_DEPTH = 200
"""Lists and maps inside one another; workflows take some ten."""
MAX_DIGITS = 300
"""Of a whole number; with as many it still fits a float."""

_TEXT_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)
_KINDS = {dict: "a map", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number"}


class BadJsonError(ValueError):
    """JSON that is damaged, too large or of another shape; the message is one sentence."""


def parse_text(text: str, where: str, *, finite: bool = False) -> Any:
    """The value that a JSON text stands for.

    Args:
        text: the whole text.
        where: what messages call it, a file's path for instance.
        finite: refuse NaN and infinite numbers, which JSON does not know but Python and ComfyUI write.

    Raises:
        BadJsonError: for a text that is no JSON, is longer than :data:`MAX_BYTES` or nested deeper than
            :data:`MAX_DEPTH`, or has whole numbers of more than :data:`MAX_DIGITS` digits.
    """
    check_size(len(text), where)
    depth = _depth(text)
    if depth > MAX_DEPTH:
        raise BadJsonError(f"{where} nests lists and maps more than {MAX_DEPTH} deep; no workflow needs that")

    def whole(digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise BadJsonError(f"{where} holds a number of {len(digits)} digits; expected at most {MAX_DIGITS}")
        return int(digits)

    def real(digits: str) -> float:
        number = float(digits)
        if finite and not math.isfinite(number):
            raise BadJsonError(f"{where} holds the number {plain(digits)}, which is not finite")
        return number

    try:
        return json.loads(text, parse_int=whole, parse_float=real, parse_constant=real)
    except json.JSONDecodeError as error:
        raise BadJsonError(
            f"{where} is not a JSON file (line {error.lineno}, column {error.colno} cannot be read)"
        ) from error


def check_size(size: int, where: str) -> None:
    """Raise :class:`BadJsonError` for more bytes than are read."""
    if size > MAX_BYTES:
        raise BadJsonError(f"{where} has {size / 2**20:.0f} MB; JSON of more than {MAX_BYTES >> 20} MB is not read")


def kind_of(value: Any) -> str:
    """What a value read from JSON is, in words."""
    return "nothing (null)" if value is None else _KINDS.get(type(value), type(value).__name__)


def a_map(value: Any, where: str) -> Mapping[str, Any]:
    """The value, when it is a map. Raises :class:`BadJsonError` naming ``where``, as the next ones do."""
    if not isinstance(value, Mapping):
        raise BadJsonError(f"{where} is {kind_of(value)}, expected a map")
    return value


def a_list(value: Any, where: str) -> list[Any]:
    """The value, when it is a list."""
    if not isinstance(value, list):
        raise BadJsonError(f"{where} is {kind_of(value)}, expected a list")
    return value


def a_text(value: Any, where: str) -> str:
    """The value, when it is a text."""
    if not isinstance(value, str):
        raise BadJsonError(f"{where} is {kind_of(value)}, expected a text")
    return value


def a_whole(value: Any, where: str) -> int:
    """The value, when it is a whole number (``1.0`` is one)."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool):
        raise BadJsonError(f"{where} is {shown(value)}, expected a whole number")
    return int(value)


def _depth(text: str) -> int:
    """How deep brackets nest; those within texts are letters."""
    depth = deepest = 0
    for match in _TEXT_OR_BRACKET.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest
