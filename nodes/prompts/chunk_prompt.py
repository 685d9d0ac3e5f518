"""Chunk Prompt."""

from typing import Any

from ...core import types
from ...host.adapters import backbone_of
from ...host.jobs.data.caption_reports import table
from ...host.jobs.prompting import phrases as job
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ..sockets import CATEGORY, ConceptTokens, embeddings_verdict, text_input, text_under

COLUMNS = ("number", "phrase", "first character", "last character", "tokens", "change", "weight", "line")


class ChunkPrompt(io.ComfyNode):
    """The phrases of a prompt, for one weight each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierChunkPrompt",
            display_name="Chunk Prompt",
            category=f"{CATEGORY}/prompts",
            description=(
                "Cuts a prompt into phrases where the text encoder's own encoding changes most from word "
                "to word, so that you give one weight to a phrase, not to each word. Show Word Heatmap "
                "takes the phrases as words. Inspired by the boundary rule of ConceptMoE, whose trained "
                "chunker is not available."
            ),
            search_aliases=["ConceptMoE", "prompt weights", "phrases", "BREAK", "long prompt", "emphasis"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model that will be sampled."),
                io.String.Input(
                    "text",
                    default="a photo of a red cat on the left and a dog with a hat",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt, without weights in brackets.",
                ),
                text_input(
                    "weights",
                    "",
                    "One weight per line; name the phrase by any of its words or by its number: hat: 1.3 "
                    "or 3: 1.3. The node lists the phrases; those not named keep weight 1.",
                ),
                io.Float.Input(
                    "share",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="A phrase begins where the encoding changes by at least this share of the "
                    "largest change in the prompt. Higher values give fewer phrases; 0 begins one "
                    "at every article, preposition and conjunction. Punctuation always ends a "
                    "phrase.",
                ),
                io.Int.Input(
                    "line_tokens",
                    default=75,
                    min=8,
                    max=10000,
                    optional=True,
                    advanced=True,
                    tooltip="The most tokens on a line. CLIP reads 75 at once; a longer prompt is broken between "
                    "phrases, not within them. Encoders that read prompts of any length are given one line.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompt uses."),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="CONDITIONING", tooltip="The prompt with its weights. Connect it to a sampler."
                ),
                io.String.Output(display_name="TEXT", tooltip="The prompt with the weights in brackets, line by line."),
                io.String.Output(
                    display_name="PHRASES",
                    tooltip="The phrases, one on each line: words for Show Word Heatmap. A phrase of weight 0 is left "
                    "out, since its own tokens no longer say anything.",
                ),
                io.String.Output(
                    display_name="TABLE",
                    tooltip="CSV: each phrase, its place in the prompt, tokens, weight, line.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        text: str,
        weights: str,
        share: float,
        line_tokens: int = 75,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        backbone = backbone_of(clip=clip)
        placeholders = tokens.placeholders() if tokens else {}
        phrases, chunks = job.phrases_of(backbone, text, share, placeholders)
        given = job.weights_of(phrases, [line.strip() for line in weights.splitlines() if line.strip()])
        room = line_tokens if job.reads_in_chunks(backbone) else len(text) + 1  # no text has more tokens than letters
        lines = job.lines_of_phrases(text, phrases, given, room)
        conditioning = job.encode_lines(clip, lines, placeholders)
        mapped = [phrase.text for phrase, weight in zip(phrases, given, strict=True) if weight]
        names = "\n".join(dict.fromkeys(mapped))
        said = job.described(phrases, chunks, given, len(lines))
        rows = job.rows_of(phrases, given, room)
        return io.NodeOutput(conditioning, "\n".join(lines), names, table(COLUMNS, rows), ui=text_under(said))

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return embeddings_verdict(text=text)
