"""Encode Concept Prompt."""

from typing import Any

from ...core import types
from ...host.adapters import encode_prompt
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ..sockets import CATEGORY, ConceptTokens, embeddings_verdict


class EncodeConceptPrompt(io.ComfyNode):
    """A prompt with learnt tokens in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierEncodeConceptPrompt",
            display_name="Encode Concept Prompt",
            category=f"{CATEGORY}/compose",
            description=(
                "Encodes a prompt that uses learnt tokens by name or by number: a photo of <apple> and "
                "<2>. Connect the result wherever a node takes CONDITIONING."
            ),
            search_aliases=["CLIP Text Encode", "prompt", "token", "embedding"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that the tokens were learnt with."),
                ConceptTokens.Input("tokens", tooltip="Tokens from Learn Concept Tokens or Load Concept Tokens."),
                io.String.Input(
                    "text",
                    default="a photo of <1>",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt. <name> and <number> (from 1) stand for tokens. Weights, "
                    "embedding:name, {one|other} and comments work as in CLIP Text Encode.",
                ),
            ],
            outputs=[io.Conditioning.Output(display_name="CONDITIONING")],
        )

    @classmethod
    def execute(cls, clip: Any, tokens: types.ConceptTokens, text: str) -> io.NodeOutput:
        check_marks(text, tokens)
        return io.NodeOutput(encode_prompt(clip, text, tokens.placeholders()))

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return embeddings_verdict(text=text)
