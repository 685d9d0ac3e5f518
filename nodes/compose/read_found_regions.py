"""Read Found Regions."""

from collections.abc import Mapping
from typing import Any

from ...host.jobs.compose.regions import EVERY, found_places
from ...host.schema import io, ui
from ..sockets import CATEGORY, BoundingBoxes


class ReadFoundRegions(io.ComfyNode):
    """Where a composed picture has its concepts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierReadFoundRegions",
            display_name="Read Found Regions",
            category=f"{CATEGORY}/compose",
            description=(
                "Gives the regions that Compose Concepts found by the concepts' words while a picture was sampled: a "
                "mask for each concept, in their order, and the boxes around them. Concepts whose places were given "
                "keep those places. The regions of the last four runs are kept."
            ),
            search_aliases=["found places", "layout", "regions", "boxes", "masks of concepts"],
            inputs=[
                io.Model.Input("model", tooltip="The MODEL of Compose Concepts, the same that was sampled."),
                io.Latent.Input(
                    "samples",
                    tooltip="The latent that the sampler returned. The regions are those of the run that it came from.",
                ),
                io.Int.Input(
                    "picture",
                    default=0,
                    min=EVERY,
                    max=4095,
                    tooltip="Which picture of a batch, counted from 0: each has regions of its own. -1: all of them, "
                    "those of the first picture before those of the second.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="REGIONS",
                    tooltip="A mask for each concept, in their order, at the size of the picture; empty where nothing "
                    "was found. For Score Composition.",
                ),
                BoundingBoxes.Output(
                    display_name="BOXES",
                    tooltip="The boxes around these regions, in pixels, with the concepts as their descriptions.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model: Any, samples: Mapping[str, Any], picture: int) -> io.NodeOutput:
        masks, boxes, said = found_places(model, samples["samples"], picture)
        return io.NodeOutput(masks, boxes, ui=ui.PreviewText(said))
