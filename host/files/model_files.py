"""Files in the folders of models: how they are named, written and recognised as changed."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from ...core.files import write_tensors
from .folders import Folders
from .saving import write_named
from .states import state_below, state_of

Content = tuple[Mapping[str, Tensor], Mapping[str, str]]
"""Tensors and metadata of a safetensors file."""


@dataclass(frozen=True)
class SavedModel:
    """A file that was written.

    Attributes:
        asked: the name that was wanted, without its ending.
        name: the name that it has.
        path: the file.
        replaced: whether it took the place of a file with other contents.
    """

    asked: str
    name: str
    path: Path
    replaced: bool = False

    @property
    def note(self) -> str:
        """What to say where the name was taken, or a file was replaced; else nothing."""
        if self.asked != self.name:
            return f"{self.asked} was written meanwhile by another run or node; this one is {self.name}"
        return f"{self.name} replaces another file of that name" if self.replaced else ""


def save_model(folders: Folders, kind: str, name: str, content: Content) -> SavedModel:
    """Write a file of a kind (``embeddings``, ``loras``), in place of one that was there before this run.

    Where another run, or another node of this one, took the name since then, the next free one is taken: ``name_2``.

    Raises :class:`~.names.BadNameError` for a bad name, ``OSError`` when the file cannot be written.
    """
    target = folders.model_target(kind, name)
    before = _digest(target) if target.is_file() else None
    taken = write_named(target, partial(write_tensors, tensors=content[0], metadata=content[1]))
    replaced = taken == target and before is not None and _digest(taken) != before
    asked = name.removesuffix(target.suffix)
    return SavedModel(asked, asked.removesuffix(target.stem) + taken.stem, taken, replaced)


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def file_of(name: str) -> str:
    """The file of a model that is named with or without its ending."""
    return name if name.endswith(".safetensors") else f"{name}.safetensors"


def fingerprint(folders: Folders, kind: str, names: Iterable[str] | None) -> str:
    """Changes when one of the files does, and for None (linked) when any of their kind does.

    Raises as :meth:`~.folders.Folders.find_model` does.
    """
    if names is None:
        return state_below(folders.models.get(kind, ()))
    return state_of(folders.find_model(kind, file_of(name)) for name in names)
