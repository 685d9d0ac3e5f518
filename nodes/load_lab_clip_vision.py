"""Load Lab CLIP Vision."""

from ..host.schema import io, make_schema
from .sockets import CATEGORY


class LoadLabClipVision(io.ComfyNode):
    """The picture encoder that ships with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return make_schema(
            node_id="ConceptAtelierLoadLabClipVision",
            display_name="Load Lab CLIP Vision",
            category=f"{CATEGORY}/evaluate",
            description=(
                "The small picture encoder that was trained beside the lab model's text encoder, no download. It knows "
                "the lab's emoji scenes only: for photographs take the stock Load CLIP Vision."
            ),
            search_aliases=["clip vision loader", "image encoder", "mini CLIP"],
            inputs=[],
            outputs=[
                io.ClipVision.Output(
                    display_name="CLIP_VISION",
                    tooltip="For Score Concepts and Load Concept Prototypes. Stock nodes that guide a model by "
                    "pictures (unCLIP, style models) cannot use it.",
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        from ..lab.model.vision import load_vision

        return io.NodeOutput(load_vision())
