"""Prompts to conditionings, and showing values as text."""

import json
import re
from pathlib import Path
from typing import Any

from ...core.backbone import Backbone, Placeholders
from ...core.files import load_embedding
from .. import folders
from ..adapters import backbone_of
from ..conditioning import to_comfy
from ..handles import ClipHandle
from ..schema_standin import io, ui

_EMBEDDING = re.compile(r"(?:(?<=\s)|^)embedding:([^\s,]+)")
_WEIGHT = re.compile(r"(?<!\\)[()]")


class CLIPTextEncode(io.ComfyNode):
    """A prompt to a conditioning; ``embedding:name`` stands for a learnt token's file.

    Prompt weights, ``(word:1.2)``, are refused rather than ignored; ``\\(`` is a bracket.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CLIPTextEncode",
            display_name="CLIP Text Encode (Prompt)",
            category="conditioning",
            inputs=[io.String.Input("text", multiline=True, dynamic_prompts=True), io.Clip.Input("clip")],
            outputs=[io.Conditioning.Output(display_name="CONDITIONING")],
        )

    @classmethod
    def execute(cls, text: str, clip: ClipHandle) -> io.NodeOutput:
        backbone = backbone_of(clip=clip)
        plain, placeholders = read_prompt(text, backbone, clip.embedding_folders)
        encoded = backbone.encode_text([plain], placeholders)
        return io.NodeOutput(to_comfy(encoded))


def read_prompt(text: str, backbone: Backbone, extra_folders: tuple[Path, ...]) -> tuple[str, Placeholders]:
    """A prompt with ``<embedding:name>`` where it says ``embedding:name``, and what stands there.

    Raises:
        ValueError: for prompt weights, and for embeddings of another model.
        FileNotFoundError: for embeddings that are in none of the folders. (ComfyUI leaves them out with a line in its
            log; the picture then lacks them silently.)
    """
    if _WEIGHT.search(text):
        raise ValueError(
            f"the prompt {text!r} has brackets, and prompt weights such as (word:1.2) work in ComfyUI only; "
            "take them out, or write \\( and \\) for plain brackets"
        )
    placeholders: dict[str, Any] = {}
    for name in _EMBEDDING.findall(text):
        tokens = load_embedding(find_embedding(name, extra_folders), backbone.text_widths)
        placeholders[f"<embedding:{name}>"] = next(iter(tokens.vectors.values()))
    return _EMBEDDING.sub(r"<embedding:\1>", text).replace("\\(", "(").replace("\\)", ")"), placeholders


def find_embedding(name: str, extra_folders: tuple[Path, ...] = ()) -> Path:
    """The file of an embedding named with or without its ending; sub-folders are searched, too, as in ComfyUI."""
    wanted = name if name.endswith(".safetensors") else f"{name}.safetensors"
    relative = folders.safe_name(wanted, "embedding name")
    searched = [*extra_folders, *folders.current().models.get("embeddings", ())]
    for folder in searched:
        found = [folder / relative, *sorted(folder.rglob(relative.name))]
        match = next((p for p in found if p.is_file() and p.parts[-len(relative.parts) :] == relative.parts), None)
        if match is not None:
            return match
    looked = ", ".join(map(str, searched)) or "no folder"
    raise FileNotFoundError(f"no embedding named {name!r}; looked in {looked}")


class PreviewAny(io.ComfyNode):
    """Shows any value as text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PreviewAny",
            display_name="Preview as Text",
            category="utils",
            is_output_node=True,
            inputs=[io.AnyType.Input("source")],
        )

    @classmethod
    def execute(cls, source: Any) -> io.NodeOutput:
        return io.NodeOutput(ui=ui.PreviewText(source if isinstance(source, str) else _as_text(source)))


def _as_text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
