"""Writing files (see :mod:`~...core.files.writing`), and keeping a list of what was written."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ...core.files import writing
from ...core.files.writing import Write, sweep

__all__ = [
    "atomic_write",
    "note_written",
    "record_written",
    "run",
    "save_json",
    "set_aside",
    "sweep",
    "write_named",
    "write_numbered",
]

ASIDE = ".bad"
"""What is put behind the name of a file that is no good."""

_written: ContextVar[list[Path] | None] = ContextVar("concept_atelier_written", default=None)
_began: ContextVar[float | None] = ContextVar("concept_atelier_began", default=None)


@contextmanager
def run() -> Iterator[None]:
    """A run begins: :func:`write_named` replaces what was there by now, and nothing that is written after."""
    token = _began.set(time.time())
    try:
        yield
    finally:
        _began.reset(token)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """:func:`~...core.files.writing.atomic_write`, noted."""
    with writing.atomic_write(path) as temporary:
        yield temporary
    note_written(path)


def write_numbered(stem: Path, contents: Mapping[str, Write], first: int = 0) -> tuple[int, list[Path]]:
    """:func:`~...core.files.writing.write_numbered`, noted; with ``first`` 0, what killed runs left there goes."""
    if not first:
        sweep(stem.parent)
    number, paths = writing.write_numbered(stem, contents, first)
    for path in paths:
        note_written(path)
    return number, paths


def write_named(path: Path, write: Write) -> Path:
    """:func:`~...core.files.writing.write_named`, noted: in place of a file that was there when the run began.

    What killed runs left in the folder goes.
    """
    sweep(path.parent)
    taken = writing.write_named(path, write, _began.get())
    note_written(taken)
    return taken


def note_written(path: Path) -> None:
    """Tell :func:`record_written` of a file that was written by other means."""
    record = _written.get()
    if record is not None:
        record.append(Path(path))


@contextmanager
def record_written() -> Iterator[list[Path]]:
    """Collect the paths of files that are written within the context, in order."""
    paths: list[Path] = []
    token = _written.set(paths)
    try:
        yield paths
    finally:
        _written.reset(token)


def set_aside(path: Path) -> Path:
    """Rename a file that is no good, in place of one that was set aside before; returns its new name."""
    aside = path.with_name(path.name + ASIDE)
    with suppress(FileNotFoundError):
        os.replace(path, aside)
    return aside


def save_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically. Raises ``TypeError`` for what JSON cannot hold."""
    text = json.dumps(value, indent=1) + "\n"
    sweep(Path(path).parent)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
