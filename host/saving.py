"""Writing files so that nothing half-written is ever left under its final name."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_written: ContextVar[list[Path] | None] = ContextVar("concept_atelier_written", default=None)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``, in one step.

    When the body raises (a full disk, Ctrl-C, anything) the temporary file goes and an earlier ``path`` stays as it
    was. A process that is killed leaves at most a hidden temporary file. Folders are made as needed.

    Raises:
        OSError: when the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:60]}.{secrets.token_hex(6)}.tmp{path.suffix}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    note_written(path)


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


def save_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON, atomically. Raises ``TypeError`` for what JSON cannot hold."""
    text = json.dumps(value, indent=1) + "\n"
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush_to_disk(path: Path) -> None:
    """A rename may reach the disk before the content does; after a power cut the name would hold nothing."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
