"""Prompts to conditionings, and showing values as text."""

import json
from typing import Any

from ...adapters import encode_prompt
from ...schema.standin import io, ui
from ...shared.handles import ClipHandle


class CLIPTextEncode(io.ComfyNode):
    """A prompt to a conditioning, with weights, ``(word:1.2)``, and ``embedding:name`` for a learnt token's file."""

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
        return io.NodeOutput(encode_prompt(clip, text, {}))


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


class StringConcatenate(io.ComfyNode):
    """Two texts, one behind the other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="StringConcatenate",
            display_name="Text Concatenate",
            category="utils/string",
            inputs=[
                io.String.Input("string_a", multiline=True),
                io.String.Input("string_b", multiline=True),
                io.String.Input("delimiter", default=""),
            ],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, string_a: str, string_b: str, delimiter: str) -> io.NodeOutput:
        return io.NodeOutput(delimiter.join((string_a, string_b)))


def _as_text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
