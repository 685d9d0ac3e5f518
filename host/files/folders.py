"""Where pictures, results, embeddings and LoRAs live: ComfyUI's folders inside ComfyUI, our own elsewhere."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.files import PICKLED
from ...core.messages import listed, shown
from ..shared.environment import inside_comfyui
from .names import BadNameError, existing, inside, made_safe, name_verdict, safe_name
from .saving import atomic_write, note_written, record_written

__all__ = [
    "BadNameError",
    "Folders",
    "atomic_write",
    "current",
    "headless",
    "inside",
    "made_safe",
    "name_verdict",
    "note_written",
    "record_written",
    "safe_name",
    "use",
]

MODEL_KINDS = ("checkpoints", "embeddings", "loras")
OWN_KINDS = ("ingredients", "skills", "concept_heads")
"""Kinds of model files that ComfyUI does not know: they lie beside the others, in ``models/ingredients``."""
PICTURE_SUFFIXES = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"}
)
_ANNOTATED = re.compile(r"(.+?) ?\[(input|output|temp)\]", re.DOTALL)


@dataclass(frozen=True)
class Folders:
    """The folders of a run.

    Attributes:
        input: folders with pictures to read, the first that has a file wins.
        output: results are written here.
        temp: previews are written here.
        models: kind (``embeddings``, ``loras``) to folders; the first one is written to, all are read.
    """

    input: tuple[Path, ...]
    output: Path
    temp: Path
    models: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def list_pictures(self) -> list[str]:
        """Names of the pictures directly in the input folders, sorted."""
        return sorted({name for folder in self.input if folder.is_dir() for name in picture_names(folder)})

    def find_picture(self, name: str) -> Path:
        """The file of a picture, looked up in the folder that stands behind its name (``x.png [output]``), if any does.

        Raises ``FileNotFoundError``, or :class:`BadNameError` for a name such as ``../x``.
        """
        match = _ANNOTATED.fullmatch(name)
        if match is None:
            return _find(self.input, name, "picture")
        searched = {"input": self.input, "output": (self.output,), "temp": (self.temp,)}
        return _find(searched[match[2]], match[1], "picture")

    def find_folder(self, name: str) -> Path:
        """A folder of the input folders by its name, the first that has it.

        Raises ``FileNotFoundError``, or :class:`BadNameError` for a name that leaves the input folder.
        """
        for folder in self.input:
            path = inside(folder, name, "folder")
            if path.is_dir():
                return path
        raise FileNotFoundError(f"no folder named {shown(name)}; looked in {_said(self.input)}")

    def list_models(self, kind: str) -> list[str]:
        """Names (with ``/`` for sub-folders) of the safetensors files of a kind, sorted."""
        found = {
            path.relative_to(folder).as_posix()
            for folder in self.models.get(kind, ())
            for path in folder.rglob("*.safetensors")
            if not path.name.startswith(".")
        }
        return sorted(found)

    def find_model(self, kind: str, name: str) -> Path:
        """The file of a model by its name in :meth:`list_models`. Raises as :meth:`find_picture` does."""
        if not name.removesuffix(".safetensors").strip():
            raise BadNameError(f"the name of a file in {kind} is empty; {self._there(kind)}")
        searched = self.models.get(kind, ())
        try:
            return _find(searched, name, f"file in {kind}")
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; {self._there(kind)}{pickled_twin(searched, name)}") from None

    def _there(self, kind: str) -> str:
        """Which files of a kind there are, for messages."""
        return f"there are {listed(self.list_models(kind)) or 'none'}"

    def model_target(self, kind: str, name: str) -> Path:
        """Where to write a model named ``name``; ``.safetensors`` is added where it is missing.

        Raises :class:`BadNameError` for a name that is empty or leaves the folder.
        """
        safe_name(name, f"{kind} name")
        name = name if name.endswith(".safetensors") else f"{name}.safetensors"
        return inside(self.models[kind][0], name, f"{kind} name")


_chosen: ContextVar[Folders | None] = ContextVar("concept_atelier_folders", default=None)


def current() -> Folders:
    """The folders in force: those of :func:`use`, else ComfyUI's, else :func:`headless` ones of the working folder."""
    return _chosen.get() or (_of_comfyui(sys.modules["folder_paths"]) if inside_comfyui() else headless())


@contextmanager
def use(folders: Folders) -> Iterator[Folders]:
    """Put folders in force within the context (of this thread or task)."""
    token = _chosen.set(folders)
    try:
        yield folders
    finally:
        _chosen.reset(token)


def headless(
    output: Path | str = "output", input: tuple[Path | str, ...] = ("input",), models: Path | str = "models"
) -> Folders:
    """Folders without ComfyUI. Models are written to ``<output>/models`` and read from there and from ``models``."""
    out = Path(output)
    kinds = {kind: (out / "models" / kind, Path(models) / kind) for kind in (*MODEL_KINDS, *OWN_KINDS)}
    return Folders(tuple(Path(folder) for folder in input), out, out / "temp", kinds)


def picture_names(folder: Path) -> list[str]:
    """Names of the pictures directly in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir() if _is_picture(path))


def pickled_twin(searched: Iterable[Path], name: str) -> str:
    """What to say of a model that is not there as a safetensors file, but as a pickled one; else an empty text."""
    stem = name.removesuffix(".safetensors")
    names = [stem] * stem.endswith(PICKLED) + [stem + ending for ending in PICKLED]
    twins = (existing(folder, twin) for folder in searched for twin in names)
    found = next((twin for twin in twins if twin is not None), None)
    if found is None:
        return ""
    return f"; {found.name} is there, but it is pickled and can run code when it is read: convert it to .safetensors"


def _of_comfyui(folder_paths: Any) -> Folders:
    return Folders(
        input=(Path(folder_paths.get_input_directory()),),
        output=Path(folder_paths.get_output_directory()),
        temp=Path(folder_paths.get_temp_directory()),
        models={kind: tuple(Path(p) for p in folder_paths.get_folder_paths(kind)) for kind in MODEL_KINDS}
        | {kind: (Path(folder_paths.models_dir) / kind,) for kind in OWN_KINDS},
    )


def _find(folders: tuple[Path, ...], name: str, what: str) -> Path:
    for folder in folders:
        path = existing(folder, name, what)
        if path is not None:
            return path
    raise FileNotFoundError(f"no {what} named {shown(name, 200)}; looked in {_said(folders)}")


def _said(folders: tuple[Path, ...]) -> str:
    """Folders for people, whole and each once."""
    return listed(dict.fromkeys(str(folder.absolute()) for folder in folders), letters=300) or "no folder"


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
