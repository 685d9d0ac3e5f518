"""A folder of pictures of any size as one batch of squares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ...core.steps import OnStep
from .caption_files import read_caption, text_file_of
from .folders import PICTURE_SUFFIXES, Folders, picture_names
from .images import read_frames
from .states import state_below, state_of

MAX_BYTES = 16 * 2**30
"""Of the pictures of one folder."""

Fit = Literal["crop", "pad", "squeeze"]
FITS: tuple[Fit, ...] = ("crop", "pad", "squeeze")
GROUND = 0.5
"""Grey behind transparent pictures and beside padded ones."""


def list_pictures(folders: Folders, name: str) -> list[Path]:
    """The pictures directly in a folder of the input folders, by name; the name of a picture is that picture alone, so
    that ``run --over`` goes through a folder picture by picture.

    Raises ``FileNotFoundError`` and ``BadNameError`` as :meth:`Folders.find_folder` does, ``ValueError`` for a folder
    without pictures.
    """
    if Path(name).suffix.lower() in PICTURE_SUFFIXES:
        try:
            return [folders.find_picture(name)]
        except FileNotFoundError:
            pass  # a folder may be called so
    folder = folders.find_folder(name)
    found = [folder / picture for picture in picture_names(folder)]
    if not found:
        raise ValueError(f"{folder} has no pictures; put some there, or name another folder")
    return found


def captions_of(files: list[Path]) -> list[str]:
    """The caption of each picture, from the text file of its name (``cat.txt`` beside ``cat.png``), on one line; empty
    where there is none."""
    beside = map(text_file_of, files)
    return [read_caption(one) if one.is_file() else "" for one in beside]


def read_square(path: Path, side: int, fit: Fit) -> Tensor:
    """The first frame of a picture as a square (3, side, side) in 0..1.

    ``crop`` takes the middle, ``pad`` puts grey beside it, ``squeeze`` changes its proportions. Raises ``ValueError``
    for a file that is no picture.
    """
    colours, clear = read_frames(path)[0]
    if clear is not None:
        colours = colours * (1 - clear[..., None]) + GROUND * clear[..., None]
    picture = colours.movedim(-1, 0)[None]  # (1, 3, H, W)
    height, width = picture.shape[-2:]
    if fit == "crop":
        shorter = min(height, width)
        top, left = (height - shorter) // 2, (width - shorter) // 2
        picture = picture[..., top : top + shorter, left : left + shorter]
    elif fit == "pad":
        across, down = max(0, height - width), max(0, width - height)
        picture = pad(picture, (across // 2, across - across // 2, down // 2, down - down // 2), value=GROUND)
    return interpolate(picture, (side, side), mode="bilinear", antialias=True)[0].clamp(0, 1)


def fingerprint(folders: Folders, name: str | None) -> str:
    """Changes when a picture or a caption of the folder is added, taken away, renamed or written anew, and for None
    (linked) when any file of the input folders is.

    Raises as above.
    """
    if name is None:
        return state_below(folders.input)
    both = (path for picture in list_pictures(folders, name) for path in (picture, text_file_of(picture)))
    return state_of(filter(Path.is_file, both))


def read_squares(files: Sequence[Path], side: int, fit: Fit, on_step: OnStep) -> tuple[Tensor, list[Path], list[str]]:
    """IMAGE (B, side, side, 3) of the files that can be read, those files, and what is wrong with each of the others.

    Raises ``ValueError`` for pictures that need more than :data:`MAX_BYTES`, before any is read, and where none can be
    read.
    """
    needed = len(files) * side * side * 12
    if needed > MAX_BYTES:
        raise ValueError(
            f"{len(files)} pictures of {side} pixels a side need {needed / 2**30:.0f} GB, and at most "
            f"{MAX_BYTES >> 30} GB are read: lower size or limit"
        )
    pictures = torch.empty(len(files), side, side, 3)
    read: list[Path] = []
    problems: list[str] = []
    for number, file in enumerate(files, 1):
        try:
            pictures[len(read)] = read_square(file, side, fit).movedim(0, -1)
            read.append(file)
        except ValueError as error:
            problems.append(str(error))
        on_step(number, len(files))
    if not read:
        every = f"none of {len(files)} pictures can be read: " if len(files) > 1 else ""
        raise ValueError(every + problems[0])
    return pictures[: len(read)], read, problems
