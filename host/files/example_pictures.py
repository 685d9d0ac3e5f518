"""The pictures that the example workflows name, put where ComfyUI's Load Image looks for them."""

import logging
import shutil
from functools import partial
from pathlib import Path

from ...core.files.writing import write_absent
from ..shared.environment import inside_comfyui
from . import folders

log = logging.getLogger("concept_atelier.host")

SHIPPED = Path(__file__).parents[2] / "workflows" / "input"


def offer_pictures(source: Path = SHIPPED) -> None:
    """Copy the pictures of ``source``, and of folders in it, that ComfyUI's input folder lacks.

    A file of the same name is never touched. Elsewhere than in ComfyUI nothing is copied: the runner looks beside the
    workflow. A folder that cannot be written is logged: the nodes are of use without the pictures.
    """
    if not inside_comfyui():
        return
    target = folders.current().input[0]
    for name in _names(source):
        try:
            _copy(source / name, target / name)
        except OSError as error:
            log.warning("%s was not copied from %s to %s, copy it yourself (%s)", name, source, target, error)


def _names(source: Path) -> list[str]:
    """The pictures of a folder and of the folders in it, with the captions beside them."""
    below = sorted(path.name for path in source.iterdir() if path.is_dir())
    return folders.picture_names(source) + [
        f"{folder}/{name}" for folder in below for name in _captioned(source / folder)
    ]


def _captioned(folder: Path) -> list[str]:
    """The pictures of a folder, and the text files of their names."""
    pictures = folders.picture_names(folder)
    beside = [Path(name).with_suffix(".txt").name for name in pictures]
    return pictures + [name for name in beside if (folder / name).is_file()]


def _copy(source: Path, target: Path) -> None:
    write_absent(target, partial(shutil.copyfile, source))
