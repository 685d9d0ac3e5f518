"""Correct by Similarities."""

from collections.abc import Sequence
from typing import Any

from ...core import types
from ...core.compose.methods.t2i_zero import SimilaritySettings
from ...host.jobs.compose.prompt_correction import correct_conditioning
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ..sockets import CATEGORY, ConceptTokens, embeddings_verdict, lines_of, text_input, text_under


class CorrectBySimilarities(io.ComfyNode):
    """A prompt of several concepts, corrected before it is sampled (T2I-Zero)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        standard = SimilaritySettings()
        return io.Schema(
            node_id="ConceptAtelierCorrectBySimilarities",
            display_name="Correct by Similarities",
            category=f"{CATEGORY}/compose",
            description=(
                "Helps a prompt of several concepts to keep them apart. A text encoder mixes a word with the words "
                "before it, so that one concept can suppress another. This node rebuilds each concept from the "
                "dimensions that its neighbouring words share with it (Correction by Similarities). It changes the "
                "CONDITIONING only, needs no model and adds no time to sampling."
            ),
            search_aliases=["T2I-Zero", "CbS", "concept dominance", "several objects", "prompt"],
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The positive prompt, encoded."),
                io.Clip.Input("clip", tooltip="The text encoder that encoded the prompt."),
                text_input(
                    "text",
                    "",
                    "The prompt that was encoded, exactly. For a CONDITIONING made of several prompts, write "
                    "them all, one on each line.",
                ),
                io.String.Input(
                    "words",
                    default="",
                    tooltip="The concepts: words of the prompt, separated by commas, for example cat, rocket.",
                ),
                io.Float.Input(
                    "strength",
                    default=standard.strength,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of each concept that is rebuilt. 0 leaves the prompt as it is.",
                ),
                io.Int.Input(
                    "window",
                    default=standard.window,
                    min=1,
                    max=75,
                    tooltip="How many tokens to each side of a concept take part.",
                ),
                io.Float.Input(
                    "threshold",
                    default=standard.threshold,
                    min=0.0,
                    max=0.999,
                    step=0.001,
                    advanced=True,
                    tooltip="Share of the similarities, the smallest ones, that are left out.",
                ),
                io.Boolean.Input(
                    "keep_length",
                    default=standard.keep_length,
                    advanced=True,
                    tooltip="Scale each corrected row back to the length that it had. Without this, a high strength "
                    "can distort the prompt.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompt uses."),
            ],
            outputs=[io.Conditioning.Output(display_name="CONDITIONING")],
        )

    @classmethod
    def execute(
        cls,
        conditioning: Sequence[Sequence[Any]],
        clip: Any,
        text: str,
        words: str,
        strength: float,
        window: int,
        threshold: float,
        keep_length: bool,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        settings = SimilaritySettings(strength, window, threshold, keep_length)
        placeholders = tokens.placeholders() if tokens else {}
        corrected, note = correct_conditioning(clip, conditioning, text, lines_of(words), settings, placeholders)
        return io.NodeOutput(corrected, ui=text_under(note))

    @classmethod
    def validate_inputs(cls, text: str | None = None, words: str | None = None) -> bool | str:
        return embeddings_verdict(text=text, words=words)
