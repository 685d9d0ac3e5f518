"""Captions as text files, each named after its picture (``cat.txt`` for ``cat.png``): read, planned and written."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from ...core.files.writing import write_absent
from ...core.messages import listed, shown
from .folders import PICTURE_SUFFIXES, Folders
from .names import existing, inside
from .saving import atomic_write, note_written, sweep

BACKUP, UNKNOWN_LETTER = ".bak", "\N{REPLACEMENT CHARACTER}"
"""What is put behind the name of a text file whose place another one takes; and what stands for a byte that is not
UTF-8."""

Place = Literal["output folder", "beside the pictures"]
PLACES: tuple[Place, ...] = get_args(Place)
Rule = Literal["stop", "keep", "replace"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""What happens where a text file has another caption."""
State = Literal["new", "replaced", "unchanged", "kept", "empty"]


@dataclass(frozen=True)
class CaptionFile:
    """A caption and its file.

    Attributes:
        picture: the picture's name.
        path: the text file.
        caption: what it is to say.
        before: what it said, on one line; None where there was no file.
        state: ``new`` and ``replaced`` are written; ``unchanged``, ``kept`` and ``empty`` leave what there is.
        backup: where the former file lies now, if it was replaced.
    """

    picture: str
    path: Path
    caption: str
    before: str | None
    state: State
    backup: Path | None = None

    @property
    def is_written(self) -> bool:
        """Whether a file is written."""
        return self.state in ("new", "replaced")


def text_file_of(picture: Path) -> Path:
    """``cat.txt`` for ``cat.png``; a name without the ending of a picture gets ``.txt`` behind it."""
    is_picture = picture.suffix.lower() in PICTURE_SUFFIXES
    return picture.with_suffix(".txt") if is_picture else picture.with_name(f"{picture.name}.txt")


def read_caption(path: Path) -> str:
    """What a text file says, on one line."""
    return " ".join(path.read_text(encoding="utf-8-sig", errors="replace").split())


def text_files(folders: Folders, place: Place, folder: str, names: Sequence[str]) -> list[Path]:
    """The text file of each picture.

    Args:
        folder: a folder of the output folder; or, beside the pictures, that of the input folder in which they lie.

    Raises:
        BadNameError: for a folder or name that would leave the output or the input folder.
        FileNotFoundError: where the folder with the pictures, or one of them, is not there.
    """
    if place == "output folder":
        target = inside(folders.output, folder, "folder")
        return [text_file_of(inside(target, name, "name of a picture")) for name in names]
    source = folders.find_folder(folder)
    pictures = [existing(source, name, "name of a picture") for name in names]
    missing = [name for name, picture in zip(names, pictures, strict=True) if picture is None]
    if missing:
        raise FileNotFoundError(
            f"{source} has no {listed(missing, 3)}; name the folder that Load Picture Folder reads, and connect NAMES"
        )
    return [text_file_of(picture) for picture in pictures if picture is not None]


def plan(paths: Sequence[Path], names: Sequence[str], captions: Sequence[str], rule: Rule) -> list[CaptionFile]:
    """What is to happen to each text file; nothing is written yet. No file is made for an empty caption.

    Args:
        paths: the text file of each picture.
        names: the pictures' names.
        captions: a line for each.

    Raises ``ValueError`` for two pictures with one text file and different captions; for a caption with letters that
    were lost when it was read; and, by the rule ``stop``, where a file has another caption.
    """
    files: list[CaptionFile] = []
    taken: dict[Path, CaptionFile] = {}
    for path, name, caption in zip(paths, names, captions, strict=True):
        file = _planned(path, name, caption, rule)
        first = taken.setdefault(path, file)
        if first.caption != file.caption:
            raise ValueError(
                f"{shown(first.picture)} and {shown(name)} share the text file {path.name} and have different "
                "captions; rename one of the pictures"
            )
        files.append(file if first is file else replace(file, state="unchanged"))
    _refuse_lost_letters(files)
    if rule == "stop":
        _refuse_replacing(files)
    return files


def write(files: Sequence[CaptionFile]) -> list[CaptionFile]:
    """Write what was planned, each file whole or not at all, with the former ones beside those that are replaced.

    Raises ``OSError`` naming the file that cannot be written, ``FileExistsError`` for a new one that is there by now.
    The files before it are written; where the same is planned again, they are unchanged.
    """
    for folder in {file.path.parent for file in files if file.is_written}:
        sweep(folder)
    return [_written(file) if file.is_written else file for file in files]


def _planned(path: Path, picture: str, caption: str, rule: Rule) -> CaptionFile:
    before = read_caption(path) if path.is_file() else None
    state: State = "new" if before is None else "kept" if rule == "keep" else "replaced"
    said = " ".join(caption.split())
    if before == said:
        state = "unchanged"
    elif before is None and not said:
        state = "empty"
    return CaptionFile(picture, path, said, before, state)


def _refuse_lost_letters(files: Sequence[CaptionFile]) -> None:
    lost = [file for file in files if file.is_written and UNKNOWN_LETTER in file.caption]
    if lost:
        raise ValueError(
            f"the caption of {shown(lost[0].picture)} has letters that were lost when it was read, because its text "
            f"file is not in UTF-8: {shown(lost[0].caption)}. Save that file in UTF-8, and run again"
        )


def _refuse_replacing(files: Sequence[CaptionFile]) -> None:
    taken = [file.path for file in files if file.state == "replaced"]
    if taken:
        have = "text file has another caption" if len(taken) == 1 else "text files have other captions"
        raise ValueError(
            f"{len(taken)} {have} already ({listed((path.name for path in taken), 3)} in {taken[0].parent}), and "
            "nothing was written: set existing to replace, which keeps each former file, or to keep, or name another "
            "folder"
        )


def _written(file: CaptionFile) -> CaptionFile:
    def put(path: Path) -> None:
        path.write_text(f"{file.caption}\n", encoding="utf-8")

    if file.state == "new":
        if not write_absent(file.path, put):
            raise FileExistsError(f"{file.path} was written by another program meanwhile, and is left as it is")
        note_written(file.path)
        return file
    backup = _kept_beside(file.path)
    with atomic_write(file.path) as temporary:
        put(temporary)
    return replace(file, backup=backup)


def _kept_beside(path: Path) -> Path:
    """A copy of a file under the first of ``cat.txt.bak``, ``cat.txt.bak2`` ... that is free."""
    number = 1
    while True:
        backup = path.with_name(f"{path.name}{BACKUP}{number if number > 1 else ''}")
        if write_absent(backup, partial(shutil.copyfile, path)):
            note_written(backup)
            return backup
        number += 1
