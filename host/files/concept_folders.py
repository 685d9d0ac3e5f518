"""Folders of concept pictures: ``folder/cat.png`` and ``folder/dog/*.png`` in the input folder."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...core.evaluate.sources import GROUNDS
from .folders import Folders, picture_names
from .images import read_frames
from .states import state_below, state_of


@dataclass(frozen=True)
class ConceptPicture:
    """A picture file of a concept: the concept's name, and where it is."""

    name: str
    path: Path


def list_concepts(folders: Folders, name: str) -> list[ConceptPicture]:
    """The pictures of a folder's concepts, sorted: files by their stem, then files in sub-folders by their folder.

    Args:
        folders: where to look: every input folder, the first that has it wins.
        name: the folder's name there.

    Raises:
        BadNameError: for a name that leaves the input folder.
        FileNotFoundError: where no input folder has it.
        ValueError: for one without pictures.
    """
    folder = folders.find_folder(name)
    files = [ConceptPicture(Path(file).stem, folder / file) for file in picture_names(folder)]
    for below in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files += [ConceptPicture(below.name, below / file) for file in picture_names(below)]
    if not files:
        raise ValueError(f"{folder} has no pictures; put one per concept there, or a folder of pictures per concept")
    return files


def read_concept(picture: ConceptPicture, ground: str) -> Tensor:
    """The first frame (1, 3, H, W) in 0..1 of a concept's picture, transparency filled with a plain ground.

    Raises ``ValueError`` for a file that is no picture.
    """
    colours, clear = read_frames(picture.path)[0]
    if clear is not None:
        share = clear[..., None]
        colours = colours * (1 - share) + GROUNDS[ground] * share
    return colours.movedim(-1, 0)[None]


def fingerprint(folders: Folders, name: str | None) -> str:
    """Changes when a picture of the folder is added, taken away, renamed or written anew, and for None (linked) when
    any file of the input folders is. Raises as above."""
    if name is None:
        return state_below(folders.input)
    return state_of(picture.path for picture in list_concepts(folders, name))
