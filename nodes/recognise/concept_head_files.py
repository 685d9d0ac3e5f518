"""Save and Load Concept Head."""

import hashlib
from pathlib import Path
from typing import Any

from ...core.recognise.heads import head as core_head
from ...core.recognise.heads.head_files import head_tensors, load_head
from ...host.files import folders
from ...host.files.model_files import save_model
from ...host.jobs.recognise.heads import weights_said
from ...host.schema import io, ui
from ..sockets import CATEGORY, ConceptHead, file_input, files_verdict

KIND = "concept_heads"


class SaveConceptHead(io.ComfyNode):
    """A concept head to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveConceptHead",
            display_name="Save Concept Head",
            category=f"{CATEGORY}/recognise",
            description=(
                "Writes a concept head to the folder models/concept_heads, with all that scoring needs: the words, the "
                "ingredients, and a fingerprint of the encoder. A file of the same name from before the run is "
                "replaced; if another run wrote it meanwhile, the next free name is used."
            ),
            search_aliases=["export classifier", "save taste", "save concept bottleneck"],
            is_output_node=True,
            inputs=[
                ConceptHead.Input("head", tooltip="From Train Concept Head."),
                io.String.Input("name", default="atelier/head", tooltip="File name; a / makes a folder."),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file, for Load Concept Head.")],
        )

    @classmethod
    def execute(cls, head: core_head.ConceptHead, name: str) -> io.NodeOutput:
        saved = save_model(folders.current(), KIND, folders.made_safe(name), head_tensors(head))
        return io.NodeOutput(saved.name, ui=ui.PreviewText(f"{saved.path}\n{saved.note}".strip()))

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        return folders.name_verdict(name, "name")


class LoadConceptHead(io.ComfyNode):
    """A concept head out of a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadConceptHead",
            display_name="Load Concept Head",
            category=f"{CATEGORY}/recognise",
            description=(
                "Loads a file of Save Concept Head. Score by Concept Head refuses it for another picture encoder than "
                "that of the training."
            ),
            search_aliases=["import classifier", "load taste", "load concept bottleneck"],
            inputs=[file_input(KIND, "atelier/head")],
            outputs=[ConceptHead.Output(display_name="CONCEPT_HEAD", tooltip="The concept head.")],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        head = load_head(_file(name))
        return io.NodeOutput(head, ui=ui.PreviewText("\n".join(weights_said(head))))

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return files_verdict(KIND, None if name is None else [_ended(name)])

    @classmethod
    def fingerprint_inputs(cls, name: str | None = None, **_: Any) -> str:
        return hashlib.sha256(_file(name or "").read_bytes()).hexdigest()


def _file(name: str) -> Path:
    return folders.current().find_model(KIND, _ended(name))


def _ended(name: str) -> str:
    return name if name.endswith(".safetensors") else f"{name}.safetensors"
