"""Trainings that were cancelled: their last state, kept in files until they are finished."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..core.files import load_tensors, save_tensors
from ..core.learn.engine.checkpoints import State
from .folders import current

FOLDER = "concept_atelier_unfinished"
MAX_ABANDONED = 8
"""Most states of unfinished trainings; the oldest beyond them are deleted."""


@dataclass(frozen=True)
class UnfinishedFiles:
    """A :class:`~..core.learn.engine.checkpoints.CheckpointStore` over a folder; the oldest files go.

    Attributes:
        folder: where.
        every: updates between two states, at least 1.
    """

    folder: Path
    every: int

    def load(self, fingerprint: str) -> dict[str, Tensor] | None:
        """The state of a training; None when there is none, and for a damaged file, which goes."""
        try:
            return load_tensors(self._path(fingerprint))[0]
        except FileNotFoundError:
            return None
        except ValueError:
            self.discard(fingerprint)
            return None

    def save(self, fingerprint: str, state: State) -> None:
        """Write a state, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(fingerprint)
        save_tensors(path, dict(state), {"format": "concept-atelier training state"})
        for old in sorted(self.folder.glob("*.safetensors"), key=lambda one: one.stat().st_mtime)[:-MAX_ABANDONED]:
            old.unlink(missing_ok=True)

    def discard(self, fingerprint: str) -> None:
        """Delete a state, and the folder when it was the last."""
        self._path(fingerprint).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _path(self, fingerprint: str) -> Path:
        return self.folder / f"{fingerprint}.safetensors"


def unfinished(every: int) -> UnfinishedFiles | None:
    """Files below the output folder in force; None for ``every`` 0, which keeps nothing."""
    return UnfinishedFiles(current().output / FOLDER, every) if every > 0 else None
