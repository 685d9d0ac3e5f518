"""Save and Load Concept Tokens."""

from typing import Any

from ...core import types
from ...host.adapters import backbone_of
from ...host.files import folders, token_files
from ...host.files.model_files import file_of, fingerprint
from ...host.schema import io, ui
from ..sockets import CATEGORY, ConceptTokens, files_verdict, text_input


class SaveConceptTokens(io.ComfyNode):
    """Tokens to embedding files."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveConceptTokens",
            display_name="Save Concept Tokens",
            category=f"{CATEGORY}/learn",
            description=(
                "Writes one embedding file for each concept to the embeddings folder. Every prompt can then use "
                "it as embedding:name; for Qwen-Image and Lumina 2 only Encode Concept Prompt can. For models with one "
                "text encoder the function load_textual_inversion of diffusers reads the files too. A file of this "
                "name that existed before the run is replaced; if the file was written during the run, the next "
                "free name is used."
            ),
            search_aliases=["save embedding", "export textual inversion"],
            is_output_node=True,
            inputs=[
                ConceptTokens.Input("tokens", tooltip="Tokens from Learn Concept Tokens."),
                io.String.Input(
                    "prefix",
                    default="atelier/",
                    tooltip="Text before every file name; a / makes a folder: atelier/apple. Spaces, commas, "
                    "brackets and other characters that a prompt cannot use in a name become _.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="NAMES", tooltip="The file names, one per line, for use in prompts.")
            ],
        )

    @classmethod
    def execute(cls, tokens: types.ConceptTokens, prefix: str) -> io.NodeOutput:
        saved = token_files.save(tokens, prefix, folders.current())
        return io.NodeOutput("\n".join(saved.names), ui=ui.PreviewText(saved.describe()))

    @classmethod
    def validate_inputs(cls, prefix: str | None) -> bool | str:
        return folders.name_verdict(None if prefix is None else f"{prefix}name", "prefix")


class LoadConceptTokens(io.ComfyNode):
    """Embedding files to tokens."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadConceptTokens",
            display_name="Load Concept Tokens",
            category=f"{CATEGORY}/learn",
            description=(
                "Loads embedding files (safetensors) from this pack or another tool as tokens for "
                "Encode Concept Prompt. They must fit the width of the text encoder. If two files hold tokens of the "
                "same name, the second token gets the name of its file, or of its folder and file. The node shows the "
                "name of each token."
            ),
            search_aliases=["load embedding", "textual inversion"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that the tokens are for."),
                text_input(
                    "names",
                    "",
                    "Names in the embeddings folder, one per line or separated by commas, with or "
                    "without embedding: before them: atelier/apple",
                ),
            ],
            outputs=[ConceptTokens.Output(display_name="CONCEPT_TOKENS")],
        )

    @classmethod
    def execute(cls, clip: Any, names: str) -> io.NodeOutput:
        files = token_files.read_names(names)
        tokens = token_files.load(files, backbone_of(clip=clip), folders.current())
        return io.NodeOutput(tokens, ui=ui.PreviewText(token_files.described(tokens, files)))

    @classmethod
    def validate_inputs(cls, names: str | None = None) -> bool | str:
        files = None if names is None else [file_of(name) for name in token_files.read_names(names)]
        return files_verdict("embeddings", files)

    @classmethod
    def fingerprint_inputs(cls, names: str | None = None, **_: Any) -> str:
        files = None if names is None else token_files.read_names(names)
        return fingerprint(folders.current(), "embeddings", files)
