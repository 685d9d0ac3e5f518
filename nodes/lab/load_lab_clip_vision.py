"""Load Lab CLIP Vision."""

from ...host.schema import io
from ..sockets import CATEGORY


class LoadLabClipVision(io.ComfyNode):
    """The picture encoder that ships with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadLabClipVision",
            display_name="Load Lab CLIP Vision",
            category=f"{CATEGORY}/evaluate",
            description=(
                "Loads the small picture encoder that was trained together with the lab model's text "
                "encoder. It needs no download. It knows only the scenes of the lab; for photographs, "
                "use the stock Load CLIP Vision."
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
        from ...lab.model.vision import load_vision

        return io.NodeOutput(load_vision())
