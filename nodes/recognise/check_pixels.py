"""Check Pixels."""

from typing import Any

from torch import Tensor

from ...core.explain import bank as core_bank
from ...core.explain.scores import PictureScores
from ...core.recognise.heads import head as core_head
from ...core.recognise.pixel_check import check_pixels
from ...host.jobs.recognise.pixel_checks import check_report, check_sheet, columns_of, masks_for, scorer_of
from ...host.schema import io
from ..picture_names import given_names, names_of, names_socket
from ..sockets import CATEGORY, ConceptBank, ConceptHead, ConceptScores, masks_of, page_under, picture_batch


class CheckPixels(io.ComfyNode):
    """Whether a score rests on the pixels that it should."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCheckPixels",
            display_name="Check Pixels",
            category=f"{CATEGORY}/recognise",
            description=(
                "Hides a region of pictures and scores them again: if the score of a concept head, a "
                "subject, or a class does not fall, or falls just as far when other pixels are hidden, it "
                "rests on something other than the region."
            ),
            search_aliases=["occlusion", "sanity check", "saliency", "spurious", "shortcut", "background bias"],
            is_output_node=True,
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures to check, such as some that score high."),
                io.Mask.Input(
                    "masks", tooltip="What is hidden: where the thing is in each picture, or one mask for all."
                ),
                io.ClipVision.Input("clip_vision", tooltip="The picture encoder that the scores come from."),
                ConceptHead.Input("head", optional=True, tooltip="A head to check: Train or Load Concept Head."),
                ConceptBank.Input(
                    "bank", optional=True, tooltip="A subject or ingredients of this encoder to check, instead."
                ),
                io.String.Input(
                    "classes",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Classes with concepts to check, instead, written as in Score by Concepts.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder, for classes."),
                io.String.Input(
                    "by",
                    default="",
                    optional=True,
                    tooltip="The class or concept whose score must fall. Empty takes each picture's highest.",
                ),
                names_socket(),
            ],
            outputs=[
                ConceptScores.Output(
                    display_name="CONCEPT_SCORES",
                    tooltip="How much further each score falls with the region hidden than with other pixels hidden.",
                ),
                io.Image.Output(display_name="SHEET", tooltip="What was scored, with the scores."),
                io.String.Output(display_name="REPORT", tooltip="How many pictures pass, and a line for each."),
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        masks: Tensor,
        clip_vision: Any,
        head: core_head.ConceptHead | None = None,
        bank: core_bank.ConceptBank | None = None,
        classes: str = "",
        clip: Any = None,
        by: str = "",
        names: str = "",
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        called = names_of(names, len(given))
        scorer = scorer_of(clip_vision, clip, head, bank, classes)
        found = check_pixels(scorer.score, given, masks_for(masks_of(masks), given))
        columns = columns_of(found, scorer.names, by.strip())
        report = check_report(found, scorer.names, columns, called)
        sheet = check_sheet(found, given, scorer.names, columns, called)
        scores = PictureScores(found.fall - found.beside, scorer.names, "further fall")
        under: dict[str, Any] = page_under(cls, sheet, report)
        return io.NodeOutput(scores.of_pictures(given_names(names)), sheet, report, ui=under)
