"""Show Word Heatmap."""

from typing import Any

from torch import Tensor

from ..core import types
from ..core.attention import heatmap
from ..core.attention.record import AttentionRecorder
from ..host.adapters import backbone_of
from ..host.embeddings import mark_embeddings, read_prompt
from ..host.heat_pictures import heat_grid, target_size
from ..host.prompts import check_marks, words_to_show
from ..host.schema import io, make_schema, ui
from .sockets import CATEGORY, AttentionCapture, ConceptTokens, lines_of


class ShowWordHeatmap(io.ComfyNode):
    """Where the words of a prompt landed in the picture (DAAM)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return make_schema(
            node_id="ConceptAtelierShowWordHeatmap",
            display_name="Show Word Heatmap",
            category=f"{CATEGORY}/attribute",
            description=(
                "Maps of where each word of the prompt landed, from the attention that Capture Attention noted. Needs "
                "the latent that came out of that sampler, so that the maps are of this run and no earlier one."
            ),
            search_aliases=["DAAM", "attribution", "attention heatmap", "prompt map"],
            is_output_node=True,
            inputs=[
                AttentionCapture.Input("capture", tooltip="From Capture Attention."),
                io.Clip.Input("clip", tooltip="The text encoder that encoded the prompt."),
                io.Latent.Input("samples", tooltip="What the sampler gave: makes sure that it has run."),
                io.String.Input(
                    "text", default="", multiline=True, tooltip="The very prompt that was sampled (the positive one)."
                ),
                io.String.Input(
                    "words",
                    default="",
                    tooltip="Words of the prompt, with commas: cat, rocket. Empty: every word.",
                ),
                io.Combo.Input(
                    "normalise",
                    options=["relative", "absolute"],
                    default="relative",
                    tooltip="relative stretches each map to the full range; absolute shows shares of attention, so "
                    "that a word that landed nowhere stays dark.",
                ),
                io.Boolean.Input(
                    "per_cell",
                    default=True,
                    tooltip="Divide by the attention that all words of the prompt get at a cell, which leaves out the "
                    "start and end tokens.",
                ),
                io.Image.Input("image", optional=True, tooltip="The decoded picture, to lay the maps over."),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that stand in the prompt."),
            ],
            outputs=[
                io.Image.Output(display_name="HEATMAPS", tooltip="A picture per word and picture, words first."),
                io.Mask.Output(display_name="MASKS", tooltip="The maps themselves, soft masks in the same order."),
            ],
        )

    @classmethod
    def execute(
        cls,
        capture: AttentionRecorder,
        clip: Any,
        samples: dict[str, Any],
        text: str,
        words: str,
        normalise: str,
        per_cell: bool,
        image: Tensor | None = None,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        backbone = backbone_of(clip=clip)
        plain, from_files = read_prompt(text, backbone, clip.embedding_folders)
        placeholders = {**from_files, **(tokens.placeholders() if tokens else {})}
        maps, read = capture.maps(), backbone.tokenize(plain, placeholders)
        maps.check_text(backbone.encode_text([plain], placeholders).context)
        wanted = [mark_embeddings(word) for word in lines_of(words)] or words_to_show(read)
        size = target_size(image, samples["samples"])
        heat = heatmap.normalise(heatmap.word_heatmaps(maps, read, wanted, size, per_cell=per_cell), normalise)  # type: ignore[arg-type]
        pictures = heat_grid(heat, wanted, image)
        return io.NodeOutput(pictures, heat.flatten(0, 1).clamp(0, 1), ui=ui.PreviewImage(pictures, cls=cls))
