"""One workflow over every picture of a folder, here or over a Ray cluster; finished pictures are not done again."""

import hashlib
import json
import logging
import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ...core.files.json_texts import a_list, a_map, a_text
from ...core.messages import first_of, listed, plain
from ..files.folders import PICTURE_SUFFIXES, picture_names
from ..files.json_files import BadJsonError, read_json
from ..files.names import distinct, made_safe, name_verdict
from ..files.saving import atomic_write, save_json, set_aside
from ..schema.standin.node import ComfyNode
from .fan_out import ENGINES
from .graph import WorkflowError
from .runner import NodeFailedError, check_workflow, picture_folders, run_workflow
from .stock import STOCK_NODES

log = logging.getLogger("concept_atelier.host")

RECORD = "finished.json"
"""In the folder of a picture's results: what they were made from, and which files they are."""

TEXTS = "texts.txt"
"""Beside it: what nodes said of the picture."""

OTHER_PICTURES = frozenset({".heic", ".heif", ".jxl", ".jp2", ".exr", ".tga", ".dng", ".psd"})
"""Kinds that some systems do not know as pictures."""


@dataclass(frozen=True)
class FolderRun:
    """What is run.

    Attributes:
        workflow: its file.
        target: the input that takes the picture's name, ``LoadImage.image``.
        folder: with the pictures.
        out: each picture's results go to ``<out>/<picture's name>``.
        overrides: as in :func:`~concept_atelier.host.workflow.runner.run_workflow`.
        input: folder with the workflow's other pictures; None looks where a single run looks.
        prompt_seed: as in :func:`~concept_atelier.host.workflow.runner.run_workflow`, the same for every picture.
        nodes: as in :func:`~concept_atelier.host.workflow.runner.run_workflow`.
    """

    workflow: Path
    target: str
    folder: Path
    out: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    input: Path | None = None
    prompt_seed: int = 0
    nodes: Sequence[type[ComfyNode]] = STOCK_NODES

    def pictures(self) -> list[str]:
        """Names of the pictures. Raises ``FileNotFoundError`` when there are none."""
        names = picture_names(self.folder) if self.folder.is_dir() else []
        if not names:
            if not self.folder.is_dir():
                raise FileNotFoundError(
                    f"there is no folder {plain(str(self.folder), 300)} here, in {plain(str(Path.cwd()), 300)}; give "
                    "its path, such as input/pictures"
                )
            kinds = listed(sorted(suffix.removeprefix(".") for suffix in PICTURE_SUFFIXES))
            raise FileNotFoundError(f"there are no pictures in {plain(str(self.folder), 300)}; these are read: {kinds}")
        return names

    def unread(self) -> tuple[list[str], list[str]]:
        """Names of the other files of the folder: pictures of kinds that are not read, and what is no picture."""
        read = {*self.pictures()}
        files = sorted(path.name for path in self.folder.iterdir() if path.is_file() and path.name not in read)
        shown = [name for name in files if not name.startswith(".")]
        return [name for name in shown if _is_other_picture(name)], [n for n in shown if not _is_other_picture(n)]

    def results_of(self, name: str) -> Path:
        """The folder for a picture's results; the suffix stays, since ``a.png`` and ``a.jpg`` are two pictures."""
        return self.out / self._folder_names.get(name, made_safe(name))

    def with_picture(self, name: str) -> dict[str, Any]:
        """What is set in the run of a picture."""
        return {**self.overrides, self.target: name}

    def inputs(self) -> tuple[Path, ...]:
        """Where pictures are looked up."""
        return (self.folder, *((self.input,) if self.input is not None else picture_folders(self.workflow)))

    @cached_property
    def _folder_names(self) -> dict[str, str]:
        """Names that not every system takes become such, and two that would be one stay two."""
        ordered = sorted(self.pictures(), key=lambda name: name_verdict(name) is not True)
        return dict(zip(ordered, distinct(map(made_safe, ordered)), strict=True))

    def digest(self, name: str) -> str:
        """16 hexadecimal digits of the workflow, what is set in it, and the picture. Other files that the workflow
        reads, such as LoRAs, do not count."""
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


def run_folder(
    job: FolderRun, engine: str = "local", note: Callable[[str], None] = lambda text: None
) -> Iterator[PictureRun]:
    """Run the workflow over all pictures; each result comes as soon as it is there, those of earlier runs first.

    A picture whose run fails, or that does not get so far, is reported and the others go on; it is tried again next
    time. Pictures of kinds that are not read are reported, too.

    Args:
        engine: ``local``, or ``ray`` for :func:`~concept_atelier.host.workflow.fan_out.over_ray`.
        note: called with what is odd but harmless.

    Raises:
        FileNotFoundError: when there are no pictures.
        WorkflowError: when the workflow itself is wrong, before the first picture.
    """
    names, missing = job.pictures(), []
    strange, other = job.unread()
    if other:
        note(f"left out of the folder, since they are no pictures: {listed(other)}")
    for name in strange:
        yield PictureRun(name, error="pictures of this kind are not read; save it as PNG, JPEG, WebP, AVIF or TIFF")
    for number, name in enumerate(names):
        files = finished(job, name)
        if files is None:
            missing.append(number)
        else:
            yield PictureRun(name, files, kept=True)
    if missing:
        for line in check_job(job, [names[number] for number in missing]):
            note(line)
        for _, done in ENGINES[engine](partial(prepare, job, names), missing):
            yield done


def check_job(job: FolderRun, names: Sequence[str]) -> tuple[str, ...]:
    """Check the workflow before the first picture; returns notes about it.

    Raises ``WorkflowError`` where it can run with none of the pictures, so that it is the workflow that is wrong.
    """
    first: WorkflowError | None = None
    for name in names:
        try:
            return check_workflow(
                job.workflow,
                job.with_picture(name),
                job.results_of(name),
                input=job.inputs(),
                nodes=job.nodes,
                prompt_seed=job.prompt_seed,
            )
        except WorkflowError as error:
            first = first or error
    if first is not None:
        raise first
    return ()


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
    name, results = names[number], job.results_of(names[number])
    try:
        result = run_workflow(
            job.workflow,
            job.with_picture(name),
            results,
            input=job.inputs(),
            nodes=job.nodes,
            prompt_seed=job.prompt_seed,
        )
        files = tuple(str(path) for path in (*result.files, *_with_texts(results, result.said())))
        save_json(results / RECORD, {"digest": job.digest(name), "files": list(files)})
    except WorkflowError as error:
        return PictureRun(name, error="; ".join(first_of(error.problems)))
    except (NodeFailedError, OSError) as error:
        return PictureRun(name, error=str(error))
    return PictureRun(name, files)


def _with_texts(results: Path, said: Sequence[str]) -> list[Path]:
    """The file with what nodes said of a picture; none where they said nothing."""
    if not said:
        return []
    with atomic_write(results / TEXTS) as temporary:
        temporary.write_text("\n".join(said) + "\n", encoding="utf-8")
    return [results / TEXTS]


def _is_other_picture(name: str) -> bool:
    """Whether a file that is not read is a picture all the same."""
    kind, _ = mimetypes.guess_type(name)
    return (kind or "").startswith("image/") or Path(name).suffix.lower() in OTHER_PICTURES
