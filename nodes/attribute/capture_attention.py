"""Capture Attention."""

from typing import Any

from ...core.attention.selection import Selection, timestep_span
from ...host.adapters import backbone_of, with_capture
from ...host.jobs.attribute.concept_maps import wanted_concepts
from ...host.jobs.blocks import sites_of_blocks
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared import captures
from ..sockets import CATEGORY, AttentionCapture, lines_of

STAGES = {"all": ("down", "mid", "up"), "down and up": ("down", "up"), "up": ("up",)}


class CaptureAttention(io.ComfyNode):
    """Listen to the attention on the text while a sampler runs (DAAM)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCaptureAttention",
            display_name="Capture Attention",
            category=f"{CATEGORY}/attribute",
            description=(
                "Returns a MODEL that records, while any sampler runs it, how strongly each cell of the "
                "picture attends to each word. The pictures stay bit-identical. Only running means of "
                "the last four runs are kept: tokens x cells x 4 bytes for each picture and grid (2 MB "
                "a picture for SD1.5 at 512x512). Each recorded layer costs one more softmax."
            ),
            search_aliases=["DAAM", "attention maps", "cross attention", "record attention"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.Int.Input(
                    "least_grid",
                    default=8,
                    min=1,
                    max=256,
                    advanced=True,
                    tooltip="Leave out layers with fewer cells than this along a side. Very coarse maps are only "
                    "blurry.",
                ),
                io.Int.Input(
                    "greatest_grid",
                    default=128,
                    min=1,
                    max=256,
                    advanced=True,
                    tooltip="Leave out layers with more cells than this along a side. 128 keeps every layer of SD1.5 "
                    "up to 1024 pixels; with 64, maps of such pictures are coarser and little time is saved. "
                    "Transformers are recorded whatever this is: their layers all have the same grid.",
                ),
                io.Combo.Input(
                    "stages",
                    options=list(STAGES),
                    default="down and up",
                    advanced=True,
                    tooltip="The part of the model that is recorded.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Start of the recorded part of denoising. 0 is the first step, which sets the layout.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="End of the recorded part of denoising. 1 is the last step, which sets the texture.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="For transformers (FLUX, Z-Image, Qwen-Image and others): the blocks that are recorded, "
                    "counted from 0 as they run: 9-18 or 4, 6, 8. all records every block. Empty takes the default of "
                    "the model's family. UNets have stages instead.",
                ),
                io.String.Input(
                    "concepts",
                    default="",
                    optional=True,
                    multiline=True,
                    advanced=True,
                    tooltip="Concepts whose maps are read while the sampler runs, for Show Concept Heatmap: one per "
                    "line or separated by commas. The prompt need not name them. It costs one more pass of every "
                    "recorded step. For FLUX.1, FLUX.2, Chroma, Krea 2, Stable Diffusion 3 and the lab transformer.",
                ),
                io.String.Input(
                    "background",
                    default="background",
                    optional=True,
                    advanced=True,
                    tooltip="Words for the rest of the picture, separated by commas. Each cell is divided among the "
                    "concepts and these words.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder, for concepts."),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to the sampler."),
                AttentionCapture.Output(display_name="CAPTURE", tooltip="For Show Word Heatmap."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        least_grid: int,
        greatest_grid: int,
        stages: str,
        start_percent: float,
        end_percent: float,
        blocks: str = "",
        concepts: str = "",
        background: str = "background",
        clip: Any = None,
    ) -> io.NodeOutput:
        if start_percent >= end_percent:
            raise ValueError(f"start_percent {start_percent} must be below end_percent {end_percent}")
        backbone = backbone_of(model=model)
        check_marks("\n".join((concepts, background)), None)
        names, others = (list(dict.fromkeys(lines_of(text))) for text in (concepts, background))
        wanted = wanted_concepts(model, clip, names, others, blocks) if names else None
        selection = Selection(
            kinds=("cross",),
            stages=STAGES[stages],  # type: ignore[arg-type]
            min_side=least_grid,
            max_side=greatest_grid,
            timesteps=timestep_span(start_percent, end_percent, backbone.schedule.steps),
            sites=sites_of_blocks(backbone.attention_sites(), blocks),
        )
        capture = captures.AttentionCapture(selection, wanted)
        return io.NodeOutput(with_capture(model, capture), capture)
