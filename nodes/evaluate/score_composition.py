"""Score Composition."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.evaluate.sources import GROUNDS
from ...host.files import folders
from ...host.jobs.evaluate.composition_scores import (
    composition_json,
    composition_sheet,
    described,
    leaks_csv,
    score_pictures,
)
from ...host.jobs.evaluate.score_reports import save_reports
from ...host.schema import io, ui
from ..sockets import CATEGORY, OF_A_BATCH, Concepts, first_only, masks_of, picture_batch, picture_of, text_under

JUDGE = "the lab's judge"


class ScoreComposition(io.ComfyNode):
    """Whether each concept stands in its own region, and what leaked where."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierScoreComposition",
            display_name="Score Composition",
            category=f"{CATEGORY}/evaluate",
            description=(
                "Compares each region of drawn pictures with each concept, as a picture encoder sees them. It says in "
                "how many pictures a region is most like its own concept, how alike they are, and which concept leaked "
                "into which region. It also counts each concept in the whole picture, so that second copies show: with "
                "Load Lab CLIP Vision the lab's judge counts the lab's objects, otherwise CLIP_VISION looks at about a "
                "hundred windows of each picture. Compare only figures of the same CLIP_VISION."
            ),
            search_aliases=["evaluate", "leak", "layout", "identity", "composition score", "count", "duplicate"],
            is_output_node=True,
            inputs=[
                io.ClipVision.Input(
                    "clip_vision", tooltip="The picture encoder, from Load CLIP Vision or Load Lab CLIP Vision."
                ),
                io.Image.Input("pictures", tooltip="The drawn pictures, all of one size."),
                io.Mask.Input(
                    "regions",
                    tooltip="A mask for each concept, in their order, such as the REGIONS of Compose Concepts.",
                ),
                io.Image.Input("image", tooltip=f"The picture that the concepts were found in. {OF_A_BATCH}"),
                Concepts.Input("concepts", tooltip="The concepts that were composed, in the order of the regions."),
                io.Combo.Input(
                    "ground",
                    options=list(GROUNDS),
                    default="grey",
                    advanced=True,
                    tooltip="Colour that replaces what surrounds a concept and a region.",
                ),
                io.String.Input(
                    "filename_prefix",
                    default="scores/composition",
                    tooltip="Name of a CSV and a JSON file in the output folder; a / makes a folder. Empty "
                    "writes none.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="SHEET",
                    tooltip="A row for each concept: its source and its region in every picture; x2 below a picture "
                    "that shows it twice.",
                ),
                io.String.Output(display_name="CSV", tooltip="A line for each region."),
                io.String.Output(display_name="JSON", tooltip="All figures."),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip_vision: Any,
        pictures: Tensor,
        regions: Tensor,
        image: Tensor,
        concepts: types.Concepts,
        ground: str,
        filename_prefix: str,
    ) -> io.NodeOutput:
        if filename_prefix:
            folders.safe_name(filename_prefix, "filename_prefix")  # a linked one was not checked before the run
        drawn = picture_batch(pictures)
        counter = (JUDGE, _by_judge) if getattr(clip_vision, "concept_atelier_family", "") == "lab" else None
        given = masks_of(regions), picture_of(image), concepts, ground
        scored = score_pictures(clip_vision, drawn, *given, counter)
        texts = {"csv": leaks_csv(scored.scores), "json": composition_json(scored, ground)}
        if filename_prefix:
            save_reports(folders.current().output, filename_prefix, texts)
        sheet = composition_sheet(scored)
        shown = ui.PreviewImage(sheet, cls=cls).as_dict()
        shown |= text_under(described(scored), first_only(image=image))
        return io.NodeOutput(sheet, *texts.values(), ui=shown)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> bool | str:
        return folders.name_verdict(filename_prefix or None, "filename_prefix")


def _by_judge(picture: Tensor, masks: Tensor, pictures: Tensor) -> Tensor | None:
    """The lab's objects, counted by its judge."""
    from ...lab.judge.counting import count_concepts
    from ...lab.judge.judge import load_judge

    return count_concepts(load_judge(), picture, masks, pictures)
