"""One workflow over every picture of a folder, here or over a Ray cluster; finished pictures are not done again."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..core.json_texts import a_list, a_map, a_text
from ..core.messages import plain
from .fan_out import ENGINES
from .folders import picture_names
from .json_files import BadJsonError, read_json
from .runner import NodeFailedError, picture_folders, run_workflow
from .saving import save_json, set_aside

log = logging.getLogger("concept_atelier.host")

RECORD = "finished.json"
"""In the folder of a picture's results: what they were made from, and which files they are."""


@dataclass(frozen=True)
class FolderRun:
    """What is run.

    Attributes:
        workflow: its file.
        target: the input that takes the picture's name, ``LoadImage.image``.
        folder: with the pictures.
        out: each picture's results go to ``<out>/<picture's name>``.
        overrides: as in :func:`~concept_atelier.host.runner.run_workflow`.
        input: folder with the workflow's other pictures; None looks where a single run looks.
        prompt_seed: as in :func:`~concept_atelier.host.runner.run_workflow`, the same for every picture.
    """

    workflow: Path
    target: str
    folder: Path
    out: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    input: Path | None = None
    prompt_seed: int = 0

    def pictures(self) -> list[str]:
        """Names of the pictures. Raises ``FileNotFoundError`` when there are none."""
        names = picture_names(self.folder) if self.folder.is_dir() else []
        if not names:
            raise FileNotFoundError(f"no pictures in {self.folder}; expected a folder with PNG, JPEG or WebP files")
        return names

    def results_of(self, name: str) -> Path:
        """The folder for a picture's results; the suffix stays, since ``a.png`` and ``a.jpg`` are two pictures."""
        return self.out / name

    def digest(self, name: str) -> str:
        """16 hexadecimal digits of all that decides a picture's results but our own code."""
        asked = json.dumps([self.target, name, {key: str(value) for key, value in self.overrides.items()}])
        asked += f" {self.prompt_seed}" if self.prompt_seed else ""  # records from before there was one stay valid
        state = hashlib.sha256(asked.encode())
        for path in (self.workflow, self.folder / name):
            state.update(hashlib.sha256(path.read_bytes()).digest())
        return state.hexdigest()[:16]


@dataclass(frozen=True)
class PictureRun:
    """What became of one picture: the files that were written, or the error that stopped it."""

    name: str
    files: tuple[str, ...] = ()
    error: str | None = None
    kept: bool = False


def run_folder(job: FolderRun, engine: str = "local") -> Iterator[PictureRun]:
    """Run the workflow over all pictures; each result comes as soon as it is there, those of earlier runs first.

    A picture whose run fails is reported and the others go on; it is tried again next time.

    Args:
        engine: ``local``, or ``ray`` for :func:`~concept_atelier.host.fan_out.over_ray`.

    Raises:
        FileNotFoundError: when there are no pictures.
        WorkflowError: when the workflow itself is wrong, before the first picture.
    """
    names, missing = job.pictures(), []
    for number, name in enumerate(names):
        files = finished(job, name)
        if files is None:
            missing.append(number)
        else:
            yield PictureRun(name, files, kept=True)
    if missing:
        for _, done in ENGINES[engine](partial(prepare, job, names), missing):
            yield done


def finished(job: FolderRun, name: str) -> tuple[str, ...] | None:
    """The files that an earlier run left, when it was asked the same and they are all there; else None.

    A record that is damaged is set aside.
    """
    record = job.results_of(name) / RECORD
    if not record.exists():
        return None
    try:
        digest, files = _read_record(record)
    except BadJsonError as error:
        log.warning("%s; it is set aside as %s, and the picture is done again", error, set_aside(record).name)
        return None
    return files if digest == job.digest(name) and all(Path(file).is_file() for file in files) else None


def _read_record(path: Path) -> tuple[str, tuple[str, ...]]:
    """Digest and files. Raises :class:`BadJsonError` for a record that is not as :func:`_run_picture` writes it."""
    where = plain(str(path), 300)
    kept = a_map(read_json(path, finite=True), where)
    named = a_list(kept.get("files"), f"files of {where}")
    return a_text(kept.get("digest"), f"digest of {where}"), tuple(a_text(file, f"a file of {where}") for file in named)


def prepare(job: FolderRun, names: list[str]) -> Callable[[int], PictureRun]:
    """What runs the workflow for the picture with a number."""
    return partial(_run_picture, job, names)


def _run_picture(job: FolderRun, names: list[str], number: int) -> PictureRun:
    name = names[number]
    others = (job.input,) if job.input is not None else picture_folders(job.workflow)
    overrides = {**job.overrides, job.target: name}
    try:
        result = run_workflow(
            job.workflow,
            overrides,
            job.results_of(name),
            input=(job.folder, *others),
            prompt_seed=job.prompt_seed,
        )
    except NodeFailedError as error:
        return PictureRun(name, error=str(error))
    files = tuple(str(path) for path in result.files)
    save_json(job.results_of(name) / RECORD, {"digest": job.digest(name), "files": list(files)})
    return PictureRun(name, files)
