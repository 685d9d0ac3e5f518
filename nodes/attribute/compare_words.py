"""Compare Words."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.attention.resize import resize_maps
from ...core.attribute.compare import Reading, ReadingSettings, compare_words
from ...host.adapters import backbone_of
from ...host.jobs.attribute.word_comparison import comparison_csv, comparison_sheet, described, kinds_for
from ...host.jobs.blocks import sites_of_blocks
from ...host.jobs.prompts import check_marks
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    lines_of,
    list_verdict,
    masks_of,
    model_inputs,
    picture_of,
    seed_input,
    stretched,
    text_input,
    text_under,
)

DEFAULTS = ReadingSettings()


class CompareWords(io.ComfyNode):
    """Attention, information and concept heat maps of the same words on one sheet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCompareWords",
            display_name="Compare Words",
            category=f"{CATEGORY}/attribute",
            description=(
                "Shows which part of a picture each word accounts for, measured in every available way: "
                "the attention that the word gets (DAAM), the information that it gives (DiffusionPID), "
                "the mean of both, and, on transformers, what its concept is most like "
                "(ConceptAttention). The sheet says how far the maps agree, and how well each fits a "
                "mask. It works on drawn and real pictures. Cost in model passes: draws for attention, "
                "draws again for concepts, and levels times (words + 1) for information."
            ),
            search_aliases=["attribution", "DAAM", "DiffusionPID", "ConceptAttention", "heatmap", "word map"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that reads the words."),
                io.Image.Input("image", tooltip=f"The picture, at a size that suits the model. {OF_A_BATCH}"),
                text_input(
                    "text",
                    "",
                    "A sentence that says what the picture shows, for example the prompt that it was drawn by.",
                ),
                io.String.Input("words", default="", tooltip="Words of the text, separated by commas: cat, rocket."),
                seed_input("Random seed for all noise."),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="Where the words' things are: a mask for each word, in their order, or one for all. The "
                    "node then says how well each map fits.",
                ),
                io.Int.Input(
                    "levels",
                    default=DEFAULTS.levels,
                    min=1,
                    max=1000,
                    optional=True,
                    tooltip="Levels of noise over which information is measured. More give smoother maps and take "
                    "more time; the papers use 100.",
                ),
                io.Int.Input(
                    "draws",
                    default=DEFAULTS.draws,
                    min=1,
                    max=64,
                    optional=True,
                    advanced=True,
                    tooltip="Passes with other noise over which attention and concepts are averaged.",
                ),
                io.Float.Input(
                    "noise",
                    default=DEFAULTS.noise,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Share of noise in the picture in which attention and concepts are read.",
                ),
                io.String.Input(
                    "background",
                    default="background",
                    optional=True,
                    advanced=True,
                    tooltip="Words for the rest of the picture, separated by commas. On transformers each cell is "
                    "divided among the words and these.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="For transformers: the blocks that are read, counted from 0 as they run: 9-18 or 4, 6, 8. "
                    "all reads every block. Empty takes the default of the model's family.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the text uses."),
            ],
            outputs=[
                io.Image.Output(display_name="SHEET", tooltip="A row for each word with all of its maps."),
                io.Mask.Output(
                    display_name="MASKS",
                    tooltip="The maps as soft masks from 0 to 1: all maps of the first word, then of the second.",
                ),
                io.String.Output(display_name="CSV", tooltip="A line for each word and map with all figures."),
            ],
        )

    @classmethod
    def validate_inputs(cls, text: str | None = None, words: str | None = None) -> bool | str:
        return first_fault(list_verdict("words", words), embeddings_verdict(text=text, words=words))

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        text: str,
        words: str,
        seed: int,
        masks: Tensor | None = None,
        levels: int = DEFAULTS.levels,
        draws: int = DEFAULTS.draws,
        noise: float = DEFAULTS.noise,
        background: str = "background",
        blocks: str = "",
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks("\n".join((text, words, background)), tokens)
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        kinds, lacking = kinds_for(backbone)
        size = (picture.shape[-2], picture.shape[-1])
        given = None if masks is None else resize_maps(masks_of(masks).float(), size, "bilinear").clamp(0, 1)
        reading = Reading(
            backbone,
            backbone.encode_image(picture),
            text,
            size,
            ReadingSettings(noise, draws, levels),
            tuple(lines_of(background)),
            seed,
            tokens.placeholders() if tokens else {},
            sites_of_blocks(backbone.attention_sites(), blocks),
        )
        names = list(dict.fromkeys(lines_of(words)))
        found = compare_words(reading, names, kinds, given, start_progress(cls.hidden.unique_id))
        if given is not None:
            given = given.expand(len(names), -1, -1)
        sheet = comparison_sheet(found, picture, given)
        shown = ui.PreviewImage(sheet, cls=cls).as_dict()
        shape = "" if masks is None else stretched(masks_of(masks), image)
        shown |= text_under(described(found), lacking, shape, first_only(image=image))
        return io.NodeOutput(sheet, found.maps.transpose(0, 1).flatten(0, 1), comparison_csv(found), ui=shown)
