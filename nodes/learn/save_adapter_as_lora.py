"""Save Adapter as LoRA."""

from ...core import types
from ...core.files import adapter_tensors
from ...core.learn.registry import METHODS
from ...host.schema import io
from ..model_files import SavesModelFile, name_input, saved_text
from ..sockets import CATEGORY, ConceptTokens

TUNING = [method.title for method in METHODS.values() if method.changes_model]


class SaveAdapterAsLora(SavesModelFile):
    """The change of the model that was learnt with tokens, as an ordinary LoRA file."""

    KIND = "loras"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveAdapterAsLora",
            display_name="Save Adapter as LoRA",
            category=f"{CATEGORY}/learn",
            description=(
                "Writes the change of the model that was learnt with the tokens to the loras folder. The stock LoRA "
                "loader applies it, and so does diffusers for Stable Diffusion 1.x, 2.x and XL, FLUX.1 and Qwen-Image. "
                "Save the tokens themselves with Save Concept Tokens; the two files belong together. A file of this "
                "name that existed before the run is replaced; if the file was written during the run, the next free "
                "name is used."
            ),
            search_aliases=["export adapter", "save lora", *TUNING],
            is_output_node=True,
            inputs=[
                ConceptTokens.Input(
                    "tokens",
                    tooltip="Tokens from Learn Concept Tokens, learnt by a method that also changes the model.",
                ),
                name_input("atelier/adapter"),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file for a LoRA loader.")],
        )

    @classmethod
    def execute(cls, tokens: types.ConceptTokens, name: str) -> io.NodeOutput:
        saved = cls.write(name, adapter_tensors(tokens))
        said = f"{saved.path}: {len(tokens.adapter)} weights"
        return io.NodeOutput(f"{saved.name}.safetensors", ui=saved_text(said, saved))
