"""Which widget a position of ``widgets_values`` belongs to.

The format that people share stores widget values by position. The front end makes one widget for each input of a
widget type, required ones first, and adds two kinds of its own: a "control after generate" choice behind seeds, and an
upload button behind pictures, stored after the required ones.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ..schema.standin.node import Schema
from ..schema.standin.sockets import Input

WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})
CONTROL_VALUES = frozenset({"fixed", "increment", "decrement", "randomize"})
_SEED_NAMES = frozenset({"seed", "noise_seed"})
_UPLOADS = ("image_upload", "video_upload", "audio_upload", "file_upload")


def has_widget(entry: Input) -> bool:
    """Whether the front end shows a widget for an input."""
    return entry.get_io_type() in WIDGET_TYPES and not entry.as_dict().get("forceInput")


def has_control(entry: Input) -> bool:
    """Whether a "control after generate" widget follows an input's widget."""
    asked = entry.as_dict().get("control_after_generate")
    return bool(asked) or (asked is None and entry.get_io_type() == "INT" and entry.id in _SEED_NAMES)


def is_control(value: Any) -> bool:
    """Whether a stored value is that of a "control after generate" widget."""
    return isinstance(value, str) and value in CONTROL_VALUES


def widget_values(
    schema: Schema, stored: Sequence[Any] | Mapping[str, Any] | None, drawn: Sequence[str] = ()
) -> dict[str, Any]:
    """Input name to value for every widget: what is stored, else the default (a combo's is its first option).

    Inputs that have neither are left out.

    Args:
        schema: the node's, as it is today.
        stored: the file's ``widgets_values``.
        drawn: names of the widgets that the file lists among the node's inputs, in order. Where the node got inputs
            between others since then, the positions are those of this list.
    """
    stored = _unnumbered(stored)
    if isinstance(stored, Mapping):
        named = dict(stored)
    else:
        named = _by_drawn_names(schema, list(stored or ()), drawn) or _by_position(schema, list(stored or ()))
    values: dict[str, Any] = {}
    for entry in filter(has_widget, schema.inputs):
        value = named.get(entry.id)
        value = default_of(entry) if value is None else value
        if value is not None:
            values[entry.id] = value
    return values


def default_of(entry: Input) -> Any:
    """What the front end puts into a fresh widget, None where there is nothing to put."""
    options = entry.as_dict()
    choices = options.get("options") or [None]
    return options["default"] if "default" in options else choices[0]


def _unnumbered(stored: Sequence[Any] | Mapping[str, Any] | None) -> Sequence[Any] | Mapping[str, Any] | None:
    """A list that some front ends store as a map of positions, ``{"0": ..., "1": ...}``."""
    if isinstance(stored, Mapping) and stored and all(re.fullmatch(r"[0-9]{1,6}", str(key)) for key in stored):
        return [stored[key] for key in sorted(stored, key=int)]
    return stored


def _by_drawn_names(schema: Schema, stored: list[Any], drawn: Sequence[str]) -> dict[str, Any] | None:
    """Values by the names that the file lists; None where it lists today's order, or other widgets than it stores.

    Older front ends list only the widgets that were made inputs.
    """
    order = [entry.id if entry else "" for entry in _in_order(schema)]
    if not drawn or "" in order or list(drawn) == order[: len(drawn)] or len(set(drawn)) < len(drawn):
        return None
    known = {entry.id: entry for entry in schema.inputs}
    values, waiting = {}, deque(stored)
    for name in drawn:
        if not waiting:
            return None
        values[name] = waiting.popleft()
        seed = has_control(known[name]) if name in known else name in _SEED_NAMES
        if seed and waiting and is_control(waiting[0]):
            waiting.popleft()
    return None if waiting else values


def _by_position(schema: Schema, stored: list[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    ordered, waiting = _in_order(schema), deque(stored)
    for entry, following in zip_longest(ordered, ordered[1:]):
        if not waiting:
            break
        if entry is None:
            waiting.popleft()
            continue
        named[entry.id] = waiting.popleft()
        if waiting and has_control(entry) and _is_control_of(waiting[0], following):
            waiting.popleft()
    return named


def _is_control_of(value: Any, following: Input | None) -> bool:
    """Whether a value behind a seed is its control's, so that it is no value of the widget that follows.

    Files made by other programs often lack the control's value. A control has one of four; in files of early 2023 it
    is a tick, "random seed after every gen".
    """
    ticked = isinstance(value, bool) and (following is None or following.get_io_type() != "BOOLEAN")
    return ticked or is_control(value)


def _in_order(schema: Schema) -> list[Input | None]:
    """Inputs in the order of their widgets; None stands for the upload button."""
    widgets = [entry for entry in schema.inputs if has_widget(entry)]
    required: list[Input | None] = [entry for entry in widgets if not entry.optional]
    optional: list[Input | None] = [entry for entry in widgets if entry.optional]
    uploads = any(entry.as_dict().get(kind) for entry in widgets for kind in _UPLOADS)
    return required + ([None] if uploads else []) + optional
