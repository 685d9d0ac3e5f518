"""Workflow files: reading them, in the format that people share (UI) or the one that is executed (API)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .flatten import flatten
from .graph import GraphNode, WorkflowError, is_api_format, read_api
from .json_files import BadJsonError, read_json
from .registry import Registry
from .ui_format import is_ui_format, read_ui


@dataclass(frozen=True)
class Workflow:
    """A workflow as it came.

    Attributes:
        data: the JSON object.
        path: the file, where it came from one.
    """

    data: Mapping[str, Any]
    path: Path | None = None

    def graph(self, registry: Registry) -> dict[str, GraphNode]:
        """The graph to execute, not yet checked.

        Raises:
            WorkflowError: for something that is neither format, or a damaged file.
        """
        if is_ui_format(self.data):
            return flatten(read_ui(self.data), registry)
        if is_api_format(self.data):
            return read_api(self.data)
        raise WorkflowError(['neither a UI workflow (with a list "nodes") nor an API workflow (ids to class_type)'])

    def picture_metadata(self) -> dict[str, Any]:
        """What saved pictures carry besides the prompt, so that dropping one on ComfyUI restores the workflow."""
        return {"workflow": self.data} if is_ui_format(self.data) else {}


def load_workflow(source: "Workflow | Mapping[str, Any] | str | Path") -> Workflow:
    """A workflow from a JSON file, or from an object already read.

    Raises:
        FileNotFoundError: no such file.
        WorkflowError: a file that is no JSON object.
    """
    if isinstance(source, Workflow):
        return source
    if isinstance(source, Mapping):
        return Workflow(source)
    path = Path(source)
    try:
        data = read_json(path)
    except BadJsonError as error:
        raise WorkflowError([str(error)]) from error
    if not isinstance(data, Mapping):
        raise WorkflowError([f"{path} holds a {type(data).__name__}, expected a JSON object"])
    return Workflow(data, path)
