"""Show Word Heatmap."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...core import types
from ...core.attribute.heatmap import normalise as normalised
from ...core.attribute.places import word_heatmaps_of_pieces
from ...host.adapters import backbone_of
from ...host.jobs.attribute.prompt_in_workflow import sampled_prompt
from ...host.jobs.attribute.sampled_text import (
    describe_columns,
    pieces_of,
    read_conditioning,
    read_run,
    wanted_words,
    words_verdict,
)
from ...host.jobs.prompts import check_marks
from ...host.pictures.heat_pictures import heat_grid, heat_sheet, stretch_note, target_size
from ...host.schema import io
from ...host.shared import captures
from ...host.shared.families import FAMILIES
from ..sockets import (
    CATEGORY,
    AttentionCapture,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    lines_of,
    page_under,
    text_input,
)


class ShowWordHeatmap(io.ComfyNode):
    """Where the words of a prompt landed in the picture (DAAM)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierShowWordHeatmap",
            display_name="Show Word Heatmap",
            category=f"{CATEGORY}/attribute",
            description=(
                "Shows where each word of the prompt landed in the picture, from the attention that "
                "Capture Attention recorded. Connect the latent that the sampler returned, so that the "
                "maps belong to this run and not to an earlier one."
            ),
            search_aliases=["DAAM", "attribution", "attention heatmap", "prompt map"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                AttentionCapture.Input("capture", tooltip="From Capture Attention."),
                io.Clip.Input("clip", tooltip="The text encoder that encoded the prompt."),
                io.Latent.Input(
                    "samples", tooltip="The latent that the sampler returned. It makes this node wait for the sampler."
                ),
                text_input(
                    "text",
                    "",
                    "The positive prompt, exactly as it was sampled. With conditioning: the prompts that the "
                    "CONDITIONING was made from, one on each line.",
                ),
                io.String.Input(
                    "words",
                    default="",
                    tooltip="Words of the prompt, separated by commas: cat, rocket. Empty shows every word.",
                ),
                io.Combo.Input(
                    "normalise",
                    options=["relative", "absolute"],
                    default="relative",
                    tooltip="relative stretches each map to the full range. absolute shows shares of attention, "
                    "so a word that landed nowhere stays dark.",
                ),
                io.Boolean.Input(
                    "per_cell",
                    default=True,
                    advanced=True,
                    tooltip="Divide each cell by the attention that all words of the prompt receive there. "
                    "This leaves out the start and end tokens.",
                ),
                io.Image.Input("image", optional=True, tooltip="The decoded picture, over which the maps are drawn."),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompt uses."),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="The positive CONDITIONING that was sampled. Connect it when the CONDITIONING differs from "
                    "the text: after ConditioningConcat, ConditioningAverage or ConditioningCombine, or with weights "
                    "of another pack. The node says in which columns it found the words.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="HEATMAPS",
                    tooltip="One picture for each word and each sampled picture, sorted by word.",
                ),
                io.Mask.Output(display_name="MASKS", tooltip="The maps as soft masks, in the same order."),
            ],
        )

    @classmethod
    def execute(
        cls,
        capture: captures.AttentionCapture,
        clip: Any,
        samples: dict[str, Any],
        text: str,
        words: str,
        normalise: str,
        per_cell: bool,
        image: Tensor | None = None,
        tokens: types.ConceptTokens | None = None,
        conditioning: Sequence[Sequence[Any]] | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        run, note = capture.run_of(samples["samples"])
        placeholders = tokens.placeholders() if tokens else {}
        if conditioning is None:
            sampled = read_run(clip, run, text, placeholders)
        else:
            sampled = read_conditioning(clip, conditioning, text, placeholders)
        pieces = pieces_of(run, sampled, text, sampled_prompt(cls.hidden.prompt, cls.hidden.unique_id))
        wanted = wanted_words(lines_of(words), sampled)
        size = target_size(image, samples["samples"], FAMILIES[backbone_of(clip=clip).family].cell)
        shares = word_heatmaps_of_pieces(pieces, run.latent_size, wanted, size, per_cell=per_cell)
        note = " ".join(filter(None, (note, stretch_note(run.latent_size, size), describe_columns(sampled, wanted))))
        heat = normalised(shares, normalise)  # type: ignore[arg-type]
        said = page_under(cls, heat_sheet(heat, wanted, image), note)
        return io.NodeOutput(heat_grid(heat, wanted, image), heat.flatten(0, 1).clamp(0, 1), ui=said)

    @classmethod
    def validate_inputs(cls, text: str | None = None, words: str | None = None) -> bool | str:
        return first_fault(words_verdict(text, words and lines_of(words)), embeddings_verdict(text=text, words=words))
