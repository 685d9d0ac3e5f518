"""Conceive and Segment."""

from typing import Any

from torch import Tensor

from ...core.recognise.segment.conceive import ConceiveSettings
from ...core.recognise.segment.dense import LEAST
from ...host.jobs.paired_texts import TEMPLATE
from ...host.jobs.recognise.segmenting import segment, segment_lines, segment_overlays
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..explain.show_ingredients import words_for
from ..picture_names import given_names, line_each, names_of, names_socket
from ..sockets import (
    CATEGORY,
    ConceptScores,
    lines_of,
    page_under,
    pair_inputs,
    picture_batch,
    template_verdict,
    text_input,
)


class ConceiveAndSegment(io.ComfyNode):
    """What is in pictures, and where."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierConceiveAndSegment",
            display_name="Conceive and Segment",
            category=f"{CATEGORY}/recognise",
            description=(
                "Says what is in pictures, and where: first which words of a vocabulary each picture shows, then which "
                "part of it belongs to each of these few words. It needs no training and no other model than a pair of "
                "CLIP encoders; outlines are coarse."
            ),
            search_aliases=["open vocabulary segmentation", "what is in this picture", "tagger", "semantic masks"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures, all of one size."),
                *pair_inputs(),
                text_input(
                    "vocabulary",
                    "",
                    "Words of what may be in the pictures, one per line or with commas; also what a captioning "
                    "node wrote. Empty tries the words of the lab's world with the lab's CLIP, else some 150 common "
                    "words.",
                ),
                io.Float.Input(
                    "surety",
                    default=1.5,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="By how many deviations a word must stand out from words in general to count "
                    "as present. Higher values find fewer words, more reliably.",
                ),
                io.Int.Input("most", default=6, min=1, max=32, tooltip="Find at most this many words in each picture."),
                io.Float.Input(
                    "threshold",
                    default=LEAST,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the picture's strongest fit from which a pixel belongs to a word. 0 gives soft "
                    "masks.",
                ),
                io.Float.Input(
                    "share",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Least lead of a word, as a share of the lead of the picture's best word. Lower finds "
                    "more words "
                    "beside the best one.",
                ),
                io.String.Input(
                    "template",
                    default=TEMPLATE,
                    optional=True,
                    advanced=True,
                    tooltip="The sentence that words are put into.",
                ),
                names_socket(),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="MASKS",
                    tooltip="All pictures of the first word, then all of the second, and so on; empty where a picture "
                    "does not show it.",
                ),
                io.Image.Output(display_name="OVERLAY", tooltip="Each picture with its words over their places."),
                io.String.Output(display_name="WORDS", tooltip="The words of the masks, one per line."),
                ConceptScores.Output(
                    display_name="CONCEPT_SCORES", tooltip="By how many deviations each word stands out."
                ),
                io.String.Output(display_name="REPORT", tooltip="A line for each picture: its words and their areas."),
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        clip_vision: Any,
        clip: Any,
        vocabulary: str,
        surety: float,
        most: int,
        threshold: float,
        share: float = 0.8,
        template: str = TEMPLATE,
        names: str = "",
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        called = names_of(names, len(given))
        general = words_for(clip_vision)
        wanted = list(dict.fromkeys(lines_of(vocabulary))) or list(general)
        settings = ConceiveSettings(surety=surety, share=share, most=most)
        found = segment(clip_vision, clip, given, wanted, general, settings, template, progress)
        lines = segment_lines(found, threshold or LEAST)
        report, scores = line_each(called, lines), found.scores(lines).of_pictures(given_names(names))
        over = segment_overlays(found, given, threshold or LEAST)
        shown = page_under(cls, over, report)
        masks = found.masks(threshold).flatten(0, 1)
        return io.NodeOutput(masks, over, "\n".join(found.words), scores, report, ui=shown)

    @classmethod
    def validate_inputs(cls, template: str | None = None) -> bool | str:
        return template_verdict(template)
