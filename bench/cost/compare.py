"""Which ratios of processor time are worse than the stored ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

TOLERATED = 1.15
"""Ratios up to this many times the stored one are taken for noise."""


def worse(found: Sequence[Mapping[str, Any]], stored: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each ratio of processor time that is more than 15 % above the stored one.

    A figure is compared with the one of the same name, model and side, of the same version of ComfyUI or else of
    another; headless with headless only.
    """
    lines = []
    for one in found:
        for path, now in ratios_of(one):
            before = _stored(one, path, stored)
            if before is not None and now > TOLERATED * before:
                where = f"{one['model']}, {one['side']} pixels, {one['host']}"
                lines.append(
                    f"{one['figure']} ({where}): {'.'.join(path)} {now:g}, stored {before:g}, "
                    f"{100 * (now / before - 1):.0f} % worse"
                )
    return lines


def ratios_of(figure: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    """Every ``cpu_ratio`` of a figure and where it stands in it."""
    for name, value in figure.items():
        if isinstance(value, Mapping):
            yield from ratios_of(value, (*path, name))
        elif name == "cpu_ratio":
            yield (*path, name), float(value)


def _stored(one: Mapping[str, Any], path: tuple[str, ...], stored: Sequence[Mapping[str, Any]]) -> float | None:
    alike = [
        other
        for other in stored
        if all(other[name] == one[name] for name in ("figure", "model", "side")) and _kind(other) == _kind(one)
    ]
    for other in sorted(alike, key=lambda other: other["host"] != one["host"]):
        for place, value in ratios_of(other):
            if place == path:
                return value
    return None


def _kind(figure: Mapping[str, Any]) -> str:
    return str(figure["host"]).split()[0]
