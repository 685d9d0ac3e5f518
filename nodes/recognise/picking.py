"""Pick Diverse Prompts, Pick Best of Batch."""

from typing import Any

from torch import Tensor

from ...core.explain import scores as core_scores
from ...core.recognise.diverse import pick_diverse
from ...host.jobs.paired_texts import text_features
from ...host.jobs.recognise.prompts import best_of, best_sheet, reason_of
from ...host.jobs.recognise.subjects import names_for
from ...host.schema import io, ui
from ..picture_names import given_names, line_each, names_socket
from ..sockets import CATEGORY, ConceptScores, page_under, picture_batch


class PickDiversePrompts(io.ComfyNode):
    """The most different of many prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPickDiversePrompts",
            display_name="Pick Diverse Prompts",
            category=f"{CATEGORY}/recognise",
            description=(
                "Picks those of many prompts that mean the most different things, as a text encoder sees them: for "
                "wildcards, for a varied set of pictures, or for the captions of a data set."
            ),
            search_aliases=["DPP", "determinantal point process", "wildcards", "deduplicate prompts", "variety"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder that compares the prompts."),
                io.String.Input("prompts", default="", multiline=True, tooltip="The prompts, one per line."),
                io.Int.Input("count", default=8, min=1, max=10_000, tooltip="How many to pick at most."),
            ],
            outputs=[
                io.String.Output(display_name="PROMPTS", tooltip="The picked ones, one per line, the first one first.")
            ],
        )

    @classmethod
    def execute(cls, clip: Any, prompts: str, count: int) -> io.NodeOutput:
        lines = list(dict.fromkeys(line.strip() for line in prompts.splitlines() if line.strip()))
        if not lines:
            raise ValueError("prompts is empty; write at least one, one per line")
        picked = "\n".join(lines[index] for index in pick_diverse(text_features(clip, lines), count))
        return io.NodeOutput(picked, ui=ui.PreviewText(picked))


class PickBestOfBatch(io.ComfyNode):
    """The best pictures of a batch by any scores."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPickBestOfBatch",
            display_name="Pick Best of Batch",
            category=f"{CATEGORY}/recognise",
            description=(
                "Picks the pictures of a batch that score highest, and says why: by Score by Concepts, Find "
                "Prototypes, or any node that gives CONCEPT_SCORES."
            ),
            search_aliases=["best picture", "select images", "filter batch", "rank", "cherry pick"],
            is_output_node=True,
            inputs=[
                io.Image.Input("pictures", tooltip="The pictures that were scored, in the same order."),
                ConceptScores.Input("scores", tooltip="One number for each picture and class or concept."),
                io.String.Input(
                    "by",
                    default="",
                    tooltip="The class or concept to go by. Empty takes the highest score of each picture.",
                ),
                io.Int.Input("count", default=1, min=1, max=4096, tooltip="How many pictures to pick at most."),
                names_socket("those of the scores are taken, or numbers"),
            ],
            outputs=[
                io.Image.Output(display_name="BEST", tooltip="The picked pictures, the best first."),
                io.Image.Output(
                    display_name="SHEET",
                    tooltip="The picked pictures, then others, each with its score and the reason.",
                ),
                io.String.Output(display_name="REPORT", tooltip="A line for each picked picture, with the reason."),
            ],
        )

    @classmethod
    def execute(
        cls, pictures: Tensor, scores: core_scores.PictureScores, by: str, count: int, names: str = ""
    ) -> io.NodeOutput:
        given, name = picture_batch(pictures), by.strip()
        scores.check_pictures(len(given))
        called = names_for(len(given), given_names(names) or scores.pictures)
        chosen = best_of(scores, name, count)
        sheet = best_sheet(scores, given, chosen, name, called)
        report = line_each([called[index] for index in chosen], [reason_of(scores, index, name) for index in chosen])
        shown = page_under(cls, sheet, report)
        return io.NodeOutput(given[chosen].movedim(1, -1), sheet, report, ui=shown)
