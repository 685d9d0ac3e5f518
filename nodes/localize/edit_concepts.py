"""Edit Concepts."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core import types
from ...core.masks import edit
from ...host.pictures.concept_pictures import (
    concept_masks,
    concept_overlay,
    describe_concepts,
    inherited_colours,
    picture_for,
)
from ...host.pictures.region_view import KEY, region_view
from ...host.schema import io, ui
from ..sockets import CATEGORY, Concepts, picture_of


class EditConcepts(io.ComfyNode):
    """Change what a localiser found."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierEditConcepts",
            display_name="Edit Concepts",
            category=f"{CATEGORY}/localize",
            description=(
                "Keeps, drops, merges and renames concepts, grows or shrinks their masks, and adds the "
                "background. The node applies its inputs in their order, and an empty input changes "
                "nothing. After a run you can click the regions: a click drops a region or takes it "
                "back, a double click renames it, and clicks with shift select several regions to "
                "merge. Your choices are written into the inputs. In every input, use the names "
                "that the concepts come in with."
            ),
            search_aliases=["merge masks", "rename concepts", "remove concept", "pick regions"],
            is_output_node=True,
            inputs=[
                Concepts.Input("concepts", tooltip="From Localize Concepts or Concepts From Masks."),
                io.String.Input("keep", default="", tooltip="Keep only these, in this order: 2, 1"),
                io.String.Input("drop", default="", tooltip="Remove these and keep all others: 3, 4"),
                io.String.Input(
                    "merge", default="", tooltip="Groups that become one concept each, named after the first: 1+3, 2+4"
                ),
                io.String.Input("rename", default="", tooltip="New names, for use in prompts: 1=apple, 2=cat"),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-32,
                    max=32,
                    tooltip="Grow every mask by this many cells of the grid. Negative values shrink it.",
                ),
                io.Boolean.Input(
                    "add_background",
                    default=False,
                    tooltip="Add everything that no concept covers as a concept named 'background'.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The picture that the concepts were found in. It is shown behind the regions, "
                    "and the masks follow its edges.",
                ),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS"),
                io.Mask.Output(display_name="MASKS", tooltip="One mask for each concept, at the size of the picture."),
            ],
        )

    @classmethod
    def execute(
        cls,
        concepts: types.Concepts,
        keep: str,
        drop: str,
        merge: str,
        rename: str,
        grow: int,
        add_background: bool,
        image: Tensor | None = None,
    ) -> io.NodeOutput:
        picture = picture_for(concepts, None if image is None else picture_of(image))
        edited = edit.edit(concepts, keep, drop, merge, rename)
        edited = edit.grow(edited, grow) if grow else edited
        edited = edit.add_background(edited) if add_background else edited
        # Grey has no edges: without the picture outlines are smooth here, and what is handed on still may follow edges.
        given, drawn = (it if image is not None else replace(it, outline="smooth") for it in (concepts, edited))
        return io.NodeOutput(edited, concept_masks(drawn, picture), ui=cls._shown(picture, given, drawn))

    @classmethod
    def _shown(cls, picture: Tensor, given: types.Concepts, edited: types.Concepts) -> dict[str, Any]:
        overlay = concept_overlay(picture, edited, colours=inherited_colours(edited, given))
        regions = region_view(picture, given, lambda pixels: ui.PreviewImage(pixels).values[0])
        said = ui.PreviewText(describe_concepts(edited)).as_dict()
        return ui.PreviewImage(overlay, cls=cls).as_dict() | said | {KEY: [regions]}
