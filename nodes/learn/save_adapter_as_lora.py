"""Save Adapter as LoRA."""

from ...core import types
from ...core.files import adapter_tensors
from ...core.learn.registry import METHODS
from ...host.files import folders
from ...host.files.model_files import save_model
from ...host.schema import io, ui
from ..sockets import CATEGORY, ConceptTokens

TUNING = [method.title for method in METHODS.values() if method.changes_model]


class SaveAdapterAsLora(io.ComfyNode):
    """The change of the model that was learnt with tokens, as an ordinary LoRA file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveAdapterAsLora",
            display_name="Save Adapter as LoRA",
            category=f"{CATEGORY}/learn",
            description=(
                "Writes the change of the model that was learnt with the tokens to the loras folder. The stock "
                "LoRA loader and diffusers apply it. Save the tokens themselves with Save Concept Tokens; the two "
                "files belong together. A file of the same name from before the run is replaced; if "
                "another run wrote it meanwhile, the next free name is used."
            ),
            search_aliases=["export adapter", "save lora", *TUNING],
            is_output_node=True,
            inputs=[
                ConceptTokens.Input(
                    "tokens",
                    tooltip="Tokens from Learn Concept Tokens, learnt by a method that also changes the model.",
                ),
                io.String.Input("name", default="atelier/adapter", tooltip="File name; a / makes a folder."),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file for a LoRA loader.")],
        )

    @classmethod
    def execute(cls, tokens: types.ConceptTokens, name: str) -> io.NodeOutput:
        name = folders.made_safe(name)
        saved = save_model(folders.current(), "loras", name, adapter_tensors(tokens))
        said = f"{saved.path}: {len(tokens.adapter)} weights"
        return io.NodeOutput(f"{saved.name}.safetensors", ui=ui.PreviewText(f"{said}\n{saved.note}".strip()))

    @classmethod
    def validate_inputs(cls, name: str | None) -> bool | str:
        return folders.name_verdict(name, "name")
