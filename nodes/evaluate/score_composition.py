"""Score Composition."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...core import types
from ...core.evaluate.composition import Sighting
from ...core.evaluate.sources import GROUNDS
from ...host.files import folders
from ...host.jobs.evaluate.composed_sources import ComposedSource, found_sources, further_sources, in_order
from ...host.jobs.evaluate.composition_reports import composition_csv, composition_json, composition_sheet, described
from ...host.jobs.evaluate.composition_scores import See, score_pictures
from ...host.jobs.evaluate.named_attributes import named_attributes
from ...host.jobs.evaluate.score_reports import save_reports
from ...host.schema import io, ui
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    Concepts,
    first_only,
    lines_of,
    masks_of,
    picture_batch,
    picture_of,
    prompts_of,
    text_input,
    text_under,
)


class ScoreComposition(io.ComfyNode):
    """Whether each concept is in its own region, once and with its own attribute, and what leaked where."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierScoreComposition",
            display_name="Score Composition",
            category=f"{CATEGORY}/evaluate",
            description=(
                "Scores drawn pictures of several concepts: is each concept there once, in its own region, with its "
                "own attribute, and like its source? The leak matrix says how much of each concept lies in each "
                "region, and how much outside all regions. With Load Lab CLIP Vision, the lab's judge finds the lab's "
                "objects and their colours (only in a clone of the repository, since the judge is not part of the "
                "published pack). Otherwise CLIP_VISION looks at about a hundred windows of each picture, and "
                "attributes are judged if you name them. Compare only figures of the same CLIP_VISION."
            ),
            search_aliases=[
                "evaluate",
                "leak",
                "leak matrix",
                "layout",
                "identity",
                "attribute",
                "composition score",
                "count",
                "duplicate",
            ],
            is_output_node=True,
            inputs=[
                io.ClipVision.Input(
                    "clip_vision", tooltip="The picture encoder, from Load CLIP Vision or Load Lab CLIP Vision."
                ),
                io.Image.Input("pictures", tooltip="The drawn pictures, all of one size."),
                io.Mask.Input(
                    "regions",
                    tooltip="A mask for each concept, in their order: the REGIONS of Compose Concepts, or those of "
                    "Read Found Regions where places were found while sampling; with its picture -1, each picture of "
                    "a batch is scored by its own.",
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
                *_optional_inputs(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="SHEET",
                    tooltip="A row for each concept: its source and its region in every picture; x2 below a picture "
                    "that shows it twice, misplaced where most of it lies outside its region. Below them the leak "
                    "matrix.",
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
        attributes: str = "",
        clip: Any = None,
        further_sources: Tensor | None = None,
        source_masks: Tensor | None = None,
        source_names: str = "",
        order: str = "",
    ) -> io.NodeOutput:
        if filename_prefix:
            folders.safe_name(filename_prefix, "filename_prefix")  # a linked one was not checked before the run
        drawn, sources = picture_batch(pictures), found_sources(picture_of(image), concepts)
        sources = in_order([*sources, *_further(sources, further_sources, source_masks, source_names)], lines_of(order))
        named = named_attributes(clip, prompts_of(attributes), [source.name for source in sources])
        judge = _judge() if getattr(clip_vision, "concept_atelier_family", "") == "lab" else None
        scored = score_pictures(clip_vision, drawn, masks_of(regions), sources, ground, judge, named)
        texts = {"csv": composition_csv(scored.scores), "json": composition_json(scored, ground)}
        if filename_prefix:
            save_reports(folders.current().output, filename_prefix, texts)
        sheet = composition_sheet(scored)
        shown = ui.PreviewImage(sheet, cls=cls).as_dict()
        shown |= text_under(described(scored), first_only(image=image))
        return io.NodeOutput(sheet, *texts.values(), ui=shown)

    @classmethod
    def validate_inputs(cls, filename_prefix: str | None = None) -> bool | str:
        return folders.name_verdict(filename_prefix or None, "filename_prefix")


def _optional_inputs() -> list[io.Input]:
    return [
        text_input(
            "attributes",
            "",
            "What each concept should have, in words, one line for each concept in the order of the regions: red, "
            "striped, or red car; none for a concept without. Each region is compared with the attributes of all "
            "concepts, so write at least two different ones. Needs clip. Empty: the lab's judge compares colours with "
            "the sources; elsewhere attributes are not judged.",
            optional=True,
        ),
        io.Clip.Input(
            "clip", optional=True, tooltip="For attributes: the text encoder that was trained with this CLIP_VISION."
        ),
        io.Image.Input(
            "further_sources",
            optional=True,
            tooltip="Pictures of further concepts, one for each, which come after those of concepts: things from other "
            "pictures, or an example of a style. A concept whose source and region are whole pictures counts "
            "as a style.",
        ),
        io.Mask.Input(
            "source_masks",
            optional=True,
            tooltip="A mask for each of the further_sources: where the concept is. Without masks each concept is its "
            "whole picture.",
        ),
        io.String.Input(
            "source_names",
            default="",
            optional=True,
            advanced=True,
            tooltip="Names of the concepts of further_sources, separated by commas. Empty numbers them.",
        ),
        io.String.Input(
            "order",
            default="",
            optional=True,
            tooltip="The concepts that the regions belong to, in the order of the regions, by name or number: <2>, "
            "<1>. Empty takes all, in their order.",
        ),
    ]


def _further(
    before: Sequence[ComposedSource], pictures: Tensor | None, masks: Tensor | None, names: str
) -> list[ComposedSource]:
    """The concepts of further pictures. Raises ``ValueError`` for masks and names without pictures."""
    if pictures is None:
        if masks is not None or names.strip():
            raise ValueError("source_masks and source_names belong to further_sources; connect those pictures too")
        return []
    given = None if masks is None else masks_of(masks)
    return further_sources(picture_batch(pictures), given, lines_of(names), [source.name for source in before])


def _judge() -> tuple[str, See] | None:
    """The lab's judge; None where the pack is installed without it."""
    try:
        from ...lab.judge.counting import JUDGE, see_concepts
        from ...lab.judge.judge import load_judge
    except ModuleNotFoundError:  # the published pack has no judge
        return None

    def see(sources: Sequence[tuple[Tensor, Tensor]], pictures: Tensor, styles: Tensor) -> Sighting | None:
        return see_concepts(load_judge(), sources, pictures, styles)

    return JUDGE, see
