"""Trainings that were cancelled: their last state, kept in files until they are finished."""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...core.files import load_tensors, save_tensors
from ...core.learn.engine.checkpoints import State
from .folders import current
from .saving import ASIDE, set_aside, sweep

log = logging.getLogger("concept_atelier.host")

FOLDER = "concept_atelier_unfinished"
MAX_ABANDONED = 8
"""Most states of unfinished trainings; the oldest beyond them are deleted."""


@dataclass(frozen=True)
class UnfinishedFiles:
    """A :class:`~...core.learn.engine.checkpoints.CheckpointStore` over a folder; the oldest files go.

    Attributes:
        folder: where.
        every: updates between two states, at least 1.
    """

    folder: Path
    every: int

    def load(self, fingerprint: str) -> dict[str, Tensor] | None:
        """The state of a training; None when there is none, and for a damaged file, which is set aside."""
        try:
            return load_tensors(self._path(fingerprint))[0]
        except FileNotFoundError:
            return None
        except ValueError as error:
            self.set_aside(fingerprint, str(error))
            return None

    def save(self, fingerprint: str, state: State) -> None:
        """Write a state, whole or not at all."""
        sweep(self.folder)
        save_tensors(self._path(fingerprint), dict(state), {"format": "concept-atelier training state"})
        for old in sorted(self.folder.glob("*.safetensors"), key=_age)[MAX_ABANDONED:]:
            old.unlink(missing_ok=True)

    def discard(self, fingerprint: str) -> None:
        """Delete a state, and the folder when it was the last."""
        self._path(fingerprint).unlink(missing_ok=True)
        with suppress(OSError):  # others are in it, perhaps put there by another run this moment
            self.folder.rmdir()

    def set_aside(self, fingerprint: str, why: str) -> None:
        """Rename a state that is no good, so that it is not found again, and say so."""
        aside = set_aside(self._path(fingerprint))
        log.warning("a kept training state is wrong, the training starts anew: %s (set aside as %s)", why, aside)
        for old in sorted(self.folder.glob(f"*{ASIDE}"), key=_age)[MAX_ABANDONED:]:
            old.unlink(missing_ok=True)

    def _path(self, fingerprint: str) -> Path:
        return self.folder / f"{fingerprint}.safetensors"


def _age(path: Path) -> float:
    """Seconds since a file was written; another run may take it away meanwhile."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def unfinished(every: int) -> UnfinishedFiles | None:
    """Files below the output folder in force; None for ``every`` 0, which keeps nothing."""
    return UnfinishedFiles(current().output / FOLDER, every) if every > 0 else None
