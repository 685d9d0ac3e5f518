"""Pair Encoders."""

from typing import Any

from ...host.jobs.paired_texts import check_pair, trusted
from ...host.schema import io, ui
from ..sockets import CATEGORY


class PairEncoders(io.ComfyNode):
    """Two encoders that someone vouches for."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPairEncoders",
            display_name="Pair Encoders",
            category=f"{CATEGORY}/recognise",
            description=(
                "Measures whether a picture encoder and a text encoder agree on plain colours, as a pair that was "
                "trained together does, and passes the picture encoder on as one that you vouch for: nodes that "
                "compare pictures with words then take it with any text encoder of its width."
            ),
            search_aliases=["CLIP pair", "match encoders", "unmatched CLIP vision", "trained together"],
            is_output_node=True,
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The picture encoder."),
                io.Clip.Input("clip", tooltip="The text encoder that you know belongs to it."),
            ],
            outputs=[
                io.ClipVision.Output(
                    display_name="CLIP_VISION", tooltip="The picture encoder, which nodes no longer test."
                ),
                io.String.Output(display_name="REPORT", tooltip="Whether the two agree on plain colours."),
            ],
        )

    @classmethod
    def execute(cls, clip_vision: Any, clip: Any) -> io.NodeOutput:
        said = check_pair(clip_vision, clip)
        return io.NodeOutput(trusted(clip_vision), said, ui=ui.PreviewText(said))
