"""Whether files have changed since a node ran, by their sizes and times, without reading them.

Nodes whose ``name`` or ``folder`` is linked learn it only when they run. Until then they go by all files that it could
name (:func:`state_below`).
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def state_of(paths: Iterable[Path]) -> str:
    """A digest that changes when one of the files is added, taken away, renamed or written anew."""
    digest = hashlib.sha256()
    for path in paths:
        state = path.stat()
        digest.update(f"{path}|{state.st_size}|{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def state_below(folders: Iterable[Path]) -> str:
    """:func:`state_of` of all files below folders, those that are not there aside."""
    return state_of(path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
