"""The tables of ``docs/surgery.md``, from the files of ``bench surgery``.

A file that is not there is said to be missing.
"""

from pathlib import Path

from ...bench.surgery.surgery import PARTS as SURGERY
from .cards import table
from .files import heading, missing, read


def measured(part: str, folder: Path) -> str:
    """A part of the bench: how many cases, the command, and its tables."""
    name = f"surgery/{part}.json"
    found = read(folder / name)
    if found is None:
        return missing(name)
    return "\n\n".join([heading(found, name), *map(table, SURGERY[part].tables(found["summary"]))])
