"""Save and Load Ingredients."""

import hashlib
from pathlib import Path
from typing import Any

from ...core.explain import bank as core_bank
from ...core.explain.bank_files import bank_tensors, load_bank
from ...host.files import folders
from ...host.files.model_files import save_model
from ...host.jobs.ingredients import valid_for
from ...host.schema import io, ui
from ..sockets import CATEGORY, ConceptBank, file_input, files_verdict


class SaveIngredients(io.ComfyNode):
    """Ingredients to a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveIngredients",
            display_name="Save Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Writes ingredients, with their names and a fingerprint of the model and site that they were found in, "
                "to the folder models/ingredients. A file of the same name from before the run is replaced; if another "
                "run wrote it meanwhile, the next free name is used."
            ),
            search_aliases=["export concepts", "save concept bank", "save SAE"],
            is_output_node=True,
            inputs=[
                ConceptBank.Input("bank", tooltip="From Find Ingredients or Show Ingredients."),
                io.String.Input("name", default="atelier/ingredients", tooltip="File name; a / makes a folder."),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file, for Load Ingredients.")],
        )

    @classmethod
    def execute(cls, bank: core_bank.ConceptBank, name: str) -> io.NodeOutput:
        saved = save_model(folders.current(), "ingredients", folders.made_safe(name), bank_tensors(bank))
        said = f"{saved.path}: {len(bank)} ingredients\n{saved.note}".strip()
        return io.NodeOutput(saved.name, ui=ui.PreviewText(said))

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        return folders.name_verdict(name, "name")


class LoadIngredients(io.ComfyNode):
    """Ingredients out of a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadIngredients",
            display_name="Load Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Loads a file of Save Ingredients. Nodes refuse the ingredients for activations of another model, "
                "layer or noise."
            ),
            search_aliases=["import concepts", "load concept bank", "load SAE"],
            inputs=[file_input("ingredients", "atelier/ingredients")],
            outputs=[ConceptBank.Output(display_name="CONCEPT_BANK", tooltip="The ingredients.")],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        bank = load_bank(_file(name))
        return io.NodeOutput(bank, ui=ui.PreviewText(valid_for(bank)))

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        return files_verdict("ingredients", None if name is None else [_ended(name)])

    @classmethod
    def fingerprint_inputs(cls, name: str | None = None, **_: Any) -> str:
        return hashlib.sha256(_file(name or "").read_bytes()).hexdigest()


def _file(name: str) -> Path:
    return folders.current().find_model("ingredients", _ended(name))


def _ended(name: str) -> str:
    return name if name.endswith(".safetensors") else f"{name}.safetensors"
