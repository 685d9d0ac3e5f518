"""Values of widgets: reading them in their type, and checking them against what a node allows."""

import math
from typing import Any

from ...core.messages import listed, shown
from ..schema.standin.sockets import Input

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})


class BadValueError(ValueError):
    """An input was given something that it does not take; the message says what it takes."""


def as_type(value: Any, io_type: str) -> Any:
    """A value as what ``io_type`` wants. Types without widgets take links only.

    Raises:
        BadValueError: saying what was expected and what was given.
    """
    readers = {"INT": _as_int, "FLOAT": _as_float, "BOOLEAN": _as_bool, "STRING": _as_text, "COMBO": _as_choice}
    kind = next((name for name in io_type.split(",") if name in readers), None)
    if kind is None and io_type != "*":
        raise BadValueError(f"expected a link that brings {io_type}, got the value {shown(value)}")
    return readers[kind](value) if kind else value


def check_range(value: Any, entry: Input) -> None:
    """Raise :class:`BadValueError` when a value is outside of an input's range or choices."""
    options = entry.as_dict()
    if "options" in options and value not in options["options"]:
        raise BadValueError(f"expected {_choices(options['options'])}, got {shown(value)}")
    if "min" in options and value < options["min"]:
        raise BadValueError(f"expected at least {options['min']}, got {shown(value)}")
    if "max" in options and value > options["max"]:
        raise BadValueError(f"expected at most {options['max']}, got {shown(value)}")


def parse_text(text: str, entry: Input) -> Any:
    """What someone typed for an input, in the type it wants.

    Raises:
        BadValueError: for a text that does not read as that type, and for inputs that take links only.
    """
    if entry.get_io_type() == "COMBO":
        return next((o for o in entry.as_dict().get("options", ()) if str(o) == text), text)
    return as_type(text, entry.get_io_type())


def _as_int(value: Any) -> int:
    try:
        number = value if isinstance(value, int) else float(value) if not isinstance(value, str) else int(value)
        if isinstance(number, bool) or number != int(number):
            raise ValueError
        return int(number)
    except (TypeError, ValueError, OverflowError):
        raise BadValueError(f"expected a whole number (INT), got {shown(value)}") from None


def _as_float(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadValueError(f"expected a number (FLOAT), got {shown(value)}")
    return number


def _as_bool(value: Any) -> bool:
    text = str(value).strip().lower() if isinstance(value, str | bool | int | float) else ""
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise BadValueError(f"expected true or false (BOOLEAN), got {shown(value)}")


def _as_text(value: Any) -> str:
    text = _letters(value)
    if text is None:
        raise BadValueError(f"expected a text (STRING), got {shown(value)}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        half = ord(text[error.start])
        raise BadValueError(f"holds half of a character (U+{half:04X}) that no file can store: {shown(text)}") from None
    return text


def _as_choice(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    raise BadValueError(f"expected one of a list's choices (COMBO), got {shown(value)}")


def _letters(value: Any) -> str | None:
    """A text, or a number as a text; None for everything else, and for numbers that Python does not print."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return None
    return str(value) if isinstance(value, str | int | float) else None


def _choices(options: list[Any]) -> str:
    if not options:
        return "one of a list that is empty (no such files were found)"
    return f"one of {listed(options)}"
