"""Settings as dataclass fields with a help text, and presets of them with changes."""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Any, TypeVar

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


def setting(default: T, text: str) -> T:
    """A dataclass field with a help text for people in its metadata."""
    return field(default=default, metadata={"help": text})


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
