"""Workflow files: reading them, in the format that people share (UI) or the one that is executed (API)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.files.json_texts import kind_of
from ...core.messages import listed, plain
from ..files.embedded_workflows import embedded, is_picture
from ..files.json_files import BadJsonError, parse_json, read_limited
from .flatten import flatten
from .graph import GraphNode, WorkflowError, api_notes, is_api_format, read_api
from .registry import Registry
from .ui_format import is_ui_format, read_ui


@dataclass(frozen=True)
class Workflow:
    """A workflow as it came.

    Attributes:
        data: the JSON object, in the UI or the API format.
        path: the file, where it came from one.
        metadata: what pictures carry besides, where ``data`` was part of something larger.
    """

    data: Mapping[str, Any]
    path: Path | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def graph(self, registry: Registry) -> dict[str, GraphNode]:
        """The graph to execute, not yet checked. Raises as :meth:`read` does."""
        return self.read(registry)[0]

    def read(self, registry: Registry) -> tuple[dict[str, GraphNode], list[str]]:
        """The graph to execute, not yet checked, and lines about what was left out of it.

        Raises:
            WorkflowError: for something that is neither format, or a damaged file.
        """
        if is_ui_format(self.data):
            return flatten(read_ui(self.data), registry)
        if is_api_format(self.data):
            notes = api_notes(self.data)
            return read_api(self.data), [f"left out, since they are no nodes: {listed(notes)}"] if notes else []
        raise WorkflowError(['neither a UI workflow (with a list "nodes") nor an API workflow (ids to class_type)'])

    @property
    def is_drawn(self) -> bool:
        """Whether it is in the UI format, which ComfyUI's page has not sent yet."""
        return is_ui_format(self.data)

    def picture_metadata(self) -> dict[str, Any]:
        """What saved pictures carry besides the prompt, so that dropping one on ComfyUI restores the workflow."""
        return {"workflow": self.data} if self.is_drawn else dict(self.metadata)


def load_workflow(source: "Workflow | Mapping[str, Any] | str | Path") -> Workflow:
    """A workflow from a JSON file, from a picture that carries one, or from an object already read.

    Of a picture that carries both, the prompt is taken, which is what was run to make it. An API workflow may come
    wrapped as it is posted, ``{"prompt": {...}}``. Where there is no such file, one beside it that is called so but for
    capitals and signs is taken: ``take_a_picture_apart.json`` for ``Take a picture apart.json``.

    Raises:
        FileNotFoundError: no such file.
        WorkflowError: a file that holds no JSON object, or a folder.
    """
    if isinstance(source, Workflow):
        return source
    if isinstance(source, Mapping):
        return _unwrapped(source, None)
    path = _found(Path(source))
    if not path.exists():
        raise FileNotFoundError(f"there is no file {plain(str(path), 300)}")
    if path.is_dir():
        raise WorkflowError([f"{plain(str(path), 300)} is a folder, expected a workflow file"])
    try:
        data = _read(path)
    except BadJsonError as error:
        raise WorkflowError([str(error)]) from error
    if not isinstance(data, Mapping):
        raise WorkflowError([f"{plain(str(path), 300)} is {kind_of(data)}, expected a JSON object of nodes"])
    return _unwrapped(data, path)


def _found(path: Path) -> Path:
    """The file, or the only one beside it whose name has the same letters and digits."""
    if path.exists() or not path.parent.is_dir():
        return path
    alike = [one for one in path.parent.iterdir() if one.suffix == path.suffix and _letters(one) == _letters(path)]
    return alike[0] if len(alike) == 1 else path


def _letters(path: Path) -> str:
    return "".join(sign for sign in path.stem.casefold() if sign.isalnum())


def _read(path: Path) -> Any:
    source = plain(str(path), 300)
    data = read_limited(path, source)
    return embedded(data, source) if is_picture(data) else parse_json(data, source)


def _unwrapped(data: Mapping[str, Any], path: Path | None) -> Workflow:
    """The workflow that an object is or has inside: what was run before what was drawn."""
    if is_ui_format(data) or is_api_format(data):
        return Workflow(data, path)
    run = next((data[key] for key in ("prompt", "output") if is_api_format(data.get(key))), None)
    drawn = data.get("workflow") if is_ui_format(data.get("workflow")) else None
    if run is not None:
        return Workflow(run, path, {"workflow": drawn} if drawn is not None else _posted_metadata(data))
    return Workflow(data if drawn is None else drawn, path)


def _posted_metadata(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was posted for pictures to carry."""
    extra = data.get("extra_data")
    info = extra.get("extra_pnginfo") if isinstance(extra, Mapping) else None
    return info if isinstance(info, Mapping) else {}
