"""Encode Concept Prompt."""

from typing import Any

from ..core import types
from ..host.adapters import encode_prompt
from ..host.prompts import check_marks
from ..host.schema import io, make_schema
from .sockets import CATEGORY, ConceptTokens


class EncodeConceptPrompt(io.ComfyNode):
    """A prompt with learnt tokens in it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return make_schema(
            node_id="ConceptAtelierEncodeConceptPrompt",
            display_name="Encode Concept Prompt",
            category=f"{CATEGORY}/compose",
            description=(
                "Encodes a prompt in which learnt tokens stand by name or number: a photo of <apple> and <2>. Use the "
                "result wherever a CONDITIONING goes."
            ),
            search_aliases=["CLIP Text Encode", "prompt", "token", "embedding"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder the tokens were learnt with."),
                ConceptTokens.Input("tokens", tooltip="From Learn or Load Concept Tokens."),
                io.String.Input(
                    "text",
                    default="a photo of <1>",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt. <name> and <number> (from 1) stand for tokens; weights, embedding:name, "
                    "{one|other} and comments mean what they mean in CLIP Text Encode.",
                ),
            ],
            outputs=[io.Conditioning.Output(display_name="CONDITIONING")],
        )

    @classmethod
    def execute(cls, clip: Any, tokens: types.ConceptTokens, text: str) -> io.NodeOutput:
        check_marks(text, tokens)
        return io.NodeOutput(encode_prompt(clip, text, tokens.placeholders()))
