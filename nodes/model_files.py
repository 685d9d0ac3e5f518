"""What nodes share that write one file to a folder of models, or read one from it: names, overwriting, errors."""

from pathlib import Path
from typing import Any, ClassVar

from ..host.files import folders
from ..host.files.model_files import Content, SavedModel, file_of, fingerprint, save_model
from ..host.schema import io, ui
from .sockets import files_verdict


def name_input(default: str) -> Any:
    """The name of the file that a node writes."""
    return io.String.Input("name", default=default, tooltip="File name; a / makes a folder.")


class SavesModelFile(io.ComfyNode):
    """A node that writes the file that its input ``name`` names.

    Attributes:
        KIND: the folder of models (``loras``, ``ingredients``).
    """

    KIND: ClassVar[str]

    @classmethod
    def write(cls, name: str, content: Content) -> SavedModel:
        """Write it under a name that every system takes; see :func:`~..host.files.model_files.save_model`."""
        return save_model(folders.current(), cls.KIND, folders.made_safe(name), content)

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        return folders.name_verdict(name, "name")


class LoadsModelFile(io.ComfyNode):
    """A node that reads the file that its input ``name`` names, with or without its ending.

    Attributes:
        KIND: the folder of models.
    """

    KIND: ClassVar[str]

    @classmethod
    def path_of(cls, name: str) -> Path:
        """The file. Raises ``FileNotFoundError`` saying which files there are."""
        return folders.current().find_model(cls.KIND, file_of(name))

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return files_verdict(cls.KIND, None if name is None else [file_of(name)])

    @classmethod
    def fingerprint_inputs(cls, name: str | None = None, **_: Any) -> str:
        return fingerprint(folders.current(), cls.KIND, None if name is None else [name])


def saved_text(said: str, saved: SavedModel) -> ui.PreviewText:
    """What a node says of the file that it wrote, and of a name that was taken."""
    return ui.PreviewText(f"{said}\n{saved.note}".strip())
