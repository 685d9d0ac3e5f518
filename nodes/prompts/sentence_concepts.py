"""Sentence Concepts."""

from typing import Any

from ...core import types
from ...core.prompts.schedule import Span, spans_of
from ...core.prompts.sentences import blended
from ...host.adapters import backbone_of, encode_one
from ...host.jobs.data.caption_reports import table
from ...host.jobs.prompting import sentences as job
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.timed_conditioning import END, START
from ..sockets import CATEGORY, ConceptTokens, embeddings_verdict, text_input, text_under

SCHEDULE, BLEND = "schedule", "blend"


class SentenceConcepts(io.ComfyNode):
    """The sentences of a prompt: compared, scheduled or blended."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSentenceConcepts",
            display_name="Sentence Concepts",
            category=f"{CATEGORY}/prompts",
            description=(
                "Treats each sentence of a prompt as a unit: reports which say the same and which may "
                "contradict one another, and lets each act in its own part of denoising, or blends all of "
                "them into one encoding. Inspired by Large Concept Models, whose trained weights are not "
                "available."
            ),
            search_aliases=["Large Concept Models", "LCM", "prompt schedule", "prompt blend", "redundant", "timestep"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model that will be sampled."),
                io.String.Input(
                    "text",
                    default="a house on a hill\na cat in front of the house",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt. A sentence ends at a full stop, an exclamation or question mark, a semicolon, "
                    "or the end of a line.",
                ),
                io.Combo.Input(
                    "combine",
                    options=[SCHEDULE, BLEND],
                    default=SCHEDULE,
                    tooltip="schedule: each sentence acts in its range of denoising; sentences that act "
                    "at the same time form one prompt.\nblend: one encoding that mixes all "
                    "sentences.",
                ),
                text_input(
                    "ranges",
                    "",
                    "With schedule: a range for each sentence, one on each line, from 0 (first step) to 1 "
                    "(last step): 0 - 0.5. Empty: the first acts throughout, and the others join one "
                    "after another.",
                ),
                io.String.Input(
                    "shares",
                    default="",
                    tooltip="With blend: how much of each sentence, as numbers with commas: 2, 1. Empty: all alike.",
                ),
                io.Float.Input(
                    "redundant",
                    default=0.85,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="Similarity at which two sentences count as saying the same.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompt uses."),
            ],
            outputs=[
                io.Conditioning.Output(display_name="CONDITIONING", tooltip="Connect this to a sampler."),
                io.String.Output(display_name="TABLE", tooltip="CSV: each pair of sentences and how they relate."),
                io.String.Output(display_name="REPORT", tooltip="What was found, in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        text: str,
        combine: str,
        ranges: str,
        shares: str,
        redundant: float = 0.85,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        sentences = job.sentences_in(text)
        parts = job.shares_of(shares, len(sentences))
        given = job.ranges_of([line for line in ranges.splitlines() if line.strip()], len(sentences))
        spans = spans_of(given) if combine == SCHEDULE else []
        backbone, placeholders = backbone_of(clip=clip), tokens.placeholders() if tokens else {}
        found, _ = job.compare(backbone, sentences, placeholders, redundant)
        if combine == SCHEDULE:
            conditioning = _scheduled(clip, sentences, spans, placeholders)
        else:
            conditioning = _blend(clip, backbone, sentences, parts, placeholders)
        said = job.described(found, sentences, spans)
        return io.NodeOutput(conditioning, table(job.COLUMNS, job.rows_of(found, sentences)), said, ui=text_under(said))

    @classmethod
    def validate_inputs(cls, text: str | None = None) -> bool | str:
        return embeddings_verdict(text=text)


def _scheduled(clip: Any, sentences: list[str], spans: list[Span], placeholders: Any) -> list[Any]:
    """An entry for each part of denoising; one that holds all along carries no range."""
    entries = []
    for span in spans:
        context, extras = encode_one(clip, job.joined(sentences, span), placeholders)
        ranged = {} if len(spans) == 1 else {START: span.start, END: span.end}
        entries.append([context, {**extras, **ranged}])
    return entries


def _blend(clip: Any, backbone: Any, sentences: list[str], shares: list[float], placeholders: Any) -> list[Any]:
    """One entry between all sentences; what is pooled is that of the sentence with the largest share."""
    encoded = [encode_one(clip, sentence, placeholders) for sentence in sentences]
    chief = max(range(len(shares)), key=shares.__getitem__)
    contexts = job.of_one_shape([entry[0] for entry in encoded])
    context = blended(contexts, shares, job.row_scale(backbone))[None]
    return [[context.to(encoded[chief][0]), dict(encoded[chief][1])]]
