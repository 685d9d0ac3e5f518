"""Settings as dataclass fields with a help text, and presets of them with changes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .messages import listed, shown

T = TypeVar("T")

OLD_PRESETS: Mapping[str, str] = {
    "lab": "small",
    "small_grid": "small",
    "small_model": "small",
    "faithful_lab": "faithful_small",
}
"""Names of presets that workflows have saved, and what they are called now."""

OLD_SETTINGS: Mapping[str, str] = {"most_cells": "max_cells"}
"""Names of settings that people have typed, and what they are called now."""


MOST_WHOLE = 2**31 - 1
"""The greatest whole number of a setting that names no other: more of anything fits into no tensor."""
MOST_SEED = 2**63 - 1
"""The greatest seed of a setting, which is the greatest whole number that torch takes."""


def setting(
    default: T, text: str, *, least: float | None = None, above: float | None = None, most: float | None = None
) -> T:
    """A dataclass field with a help text for people and a range in its metadata: from ``least``, or ``above``, to
    ``most``. :class:`Settings` checks it."""
    return field(default=default, metadata={"help": text, "range": (least, above, most)})


@dataclass(frozen=True)
class Settings:
    """Settings in their ranges: the base of classes whose fields are made by :func:`setting`.

    Raises ``ValueError`` naming the setting, for numbers that are not finite or outside the field's range, for whole
    numbers beyond :data:`MOST_WHOLE`, and for texts that are none of a field's ``Literal``.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), entry.metadata.get("range", (None,) * 3), hints[entry.name])


def _check(name: str, value: Any, bounds: tuple[float | None, ...], hint: Any) -> None:
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ValueError(f"{name} must be one of {listed(get_args(hint))}, got {shown(value)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    whole = isinstance(value, int)
    if not (whole or math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number, got {shown(value)}")
    least, above, most = bounds
    if whole and least is None and above is None:
        least = -MOST_WHOLE
    if (least is not None and value < least) or (above is not None and value <= above):
        raise ValueError(f"{name} must be {_range(least, above, most)}, got {shown(value)}")
    most = MOST_WHOLE if whole and most is None else most
    if most is not None and value > most:
        raise ValueError(f"{name} must be {_range(least, above, most)}, got {shown(value)}")


def _range(least: float | None, above: float | None, most: float | None) -> str:
    """A range in words."""
    bounds = [(least, "{} or more"), (above, "above {}"), (most, "at most {}")]
    said = [words.format(end if isinstance(end, int) else f"{end:g}") for end, words in bounds if end is not None]
    return " and ".join(said)


def preset_of(record: Any, name: str) -> Any:
    """A record's preset, also by a name that it once had (:data:`OLD_PRESETS`).

    Raises ``ValueError`` for a name it does not have, listing those it has.
    """
    current = preset_name(name)
    if current not in record.presets:
        raise ValueError(f"{record.name} has no preset {shown(name)}; it has {listed(record.presets)}")
    return record.presets[current]


def preset_name(name: str) -> str:
    """What a preset is called today."""
    return OLD_PRESETS.get(name, name)


def settings_of(record: Any, preset: str, values: Mapping[str, Any], unset: Mapping[str, Any]) -> Any:
    """A record's preset with those values that differ from ``unset``, which keeps the preset's value.

    Raises ``ValueError`` for a preset or a setting the method does not have, and for values out of range.
    """
    settings = preset_of(record, preset)
    changes = {name: value for name, value in values.items() if name not in unset or value != unset[name]}
    known = {entry.name for entry in fields(settings)}
    for name in changes:
        if name not in known:
            rest = f": leave it at {_shown(unset[name])}" if name in unset else ""
            raise ValueError(f"{record.name} has no {name}{rest}")
    return replace(settings, **changes)


def read_settings(method: str, entries: Sequence[str], settings: Any) -> dict[str, Any]:
    """What entries like ``rounds=2`` say, for settings of a dataclass: numbers, true or false, or text.

    Raises ``ValueError`` for an entry without an equals sign, a setting that does not exist or is named twice, and a
    value of another kind than the setting's.
    """
    known = {entry.name: getattr(settings, entry.name) for entry in fields(settings)}
    chosen: dict[str, Any] = {}
    for entry in entries:
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not equals or not value:
            raise ValueError(f"settings must be written as name=value, got {shown(entry)}")
        if name not in known:
            raise ValueError(f"{method} has no setting {shown(name)}; it has {listed(known)}")
        if name in chosen:
            raise ValueError(f"the setting {name} is given twice; give it once")
        chosen[name] = _read(name, value, known[name])
    return chosen


def with_entries(method: str, settings: Any, entries: Sequence[str]) -> Any:
    """Settings with what entries say; raises as :func:`read_settings` does, and for values out of range."""
    return replace(settings, **read_settings(method, entries, settings))


def _read(name: str, value: str, current: Any) -> Any:
    """A value as the kind of thing that the setting holds now."""
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    kind = type(current)
    if kind is bool and value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        if kind in (int, float, str):
            return kind(value)
    except ValueError:
        pass
    raise ValueError(f"{name} must be {kinds.get(kind, 'left as it is: it is a list')}, got {shown(value)}")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
