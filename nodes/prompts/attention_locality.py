"""Attention Locality."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.compose.composition import Concept, compose
from ...core.messages import there_are
from ...core.prompts.locality import COMPOSER, LocalitySettings
from ...core.prompts.locality_measures import measure
from ...host.adapters import backbone_of, with_composition
from ...host.jobs.data.caption_reports import table
from ...host.jobs.prompting import localities as job
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.compositions import Composed
from ...host.shared.conditioning import to_comfy
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    lines_of,
    list_verdict,
    masks_of,
    picture_of,
    span_inputs,
    text_input,
    text_under,
)


class AttentionLocality(io.ComfyNode):
    """A dial from local to distributed attention for each word."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAttentionLocality",
            display_name="Attention Locality",
            category=f"{CATEGORY}/prompts",
            description=(
                "Confines the attention to a word to one place while a picture is sampled, so that a "
                "colour applies only to its object, or spreads it over the whole picture, as suits a "
                "style. The node says how local the attention is, without and with the dial. Inspired by "
                "AILA, which trains a language model with such a dial."
            ),
            search_aliases=["AILA", "attention entropy", "colour leak", "color bleed", "attribute binding", "locality"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.Clip.Input("clip", tooltip="The text encoder of that model."),
                io.String.Input(
                    "text",
                    default="a red cat and a green dog",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt.",
                ),
                text_input(
                    "words",
                    "a red cat\na green dog",
                    "Words or phrases of the prompt, one on each line, each with its own dial if wanted: "
                    "a red cat: 0.5. The PHRASES of Chunk Prompt can be used. A phrase is confined to the "
                    "place of its last word.",
                ),
                io.Float.Input(
                    "dial",
                    default=1.0,
                    min=-1.0,
                    max=1.0,
                    step=0.05,
                    tooltip="For words without a dial of their own. 1: attention only where the word leads. 0: as the "
                    "model has it. -1: the same everywhere in the picture.",
                ),
                io.Float.Input(
                    "sharpness",
                    default=2.0,
                    min=0.1,
                    max=20.0,
                    step=0.1,
                    optional=True,
                    advanced=True,
                    tooltip="Power of a word's lead over the others in a cell; higher keeps it to fewer cells.",
                ),
                *span_inputs("the dials act"),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="A mask for each word, in their order: where it is kept to, in place of where it leads.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="A picture of the prompt, to measure what the dials do. Needs vae."
                ),
                io.Vae.Input("vae", optional=True, tooltip="The autoencoder of that model, to read the picture."),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompt uses."),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to the sampler."),
                io.Conditioning.Output(
                    display_name="CONDITIONING", tooltip="Connect this to the positive input of the same sampler."
                ),
                io.String.Output(
                    display_name="TABLE",
                    tooltip="CSV: entropy of each word's attention in bits, and its share inside the mask. Empty "
                    "without a picture.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        text: str,
        words: str,
        dial: float,
        sharpness: float = 2.0,
        start: float = 0.0,
        end: float = 1.0,
        masks: Tensor | None = None,
        image: Tensor | None = None,
        vae: Any = None,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        if (image is None) != (vae is None):
            raise ValueError("to measure what the dials do, connect both image and vae")
        given = job.dials_of(lines_of(words), dial)
        dials = tuple(own for _, own in given)
        settings = LocalitySettings(start=start, end=end, dials=dials, sharpness=sharpness)
        places = [None] * len(given) if masks is None else list(masks_of(masks))
        if len(places) != len(given):
            counts = there_are((len(given), "word"), (len(places), "mask"))
            raise ValueError(f"{counts}; give one mask for each word, in order")
        backbone = backbone_of(model, clip, vae)
        concepts = [Concept(word, mask) for (word, _), mask in zip(given, places, strict=True)]
        composition = compose(backbone, text, concepts, tokens.placeholders() if tokens else {}, texts=False)
        missing = [region.text for region in composition.regions if not region.words]
        if missing:
            raise ValueError(f"{missing[0]!r} is not in the prompt; a dial belongs to a word that the prompt names")
        composed = with_composition(model, Composed(composition, COMPOSER, settings, "Attention Locality"))
        if not any(dials):
            composed = model
        found, written = None, ""
        if image is not None:
            found = measure(backbone, backbone.encode_image(picture_of(image)), composition, settings)
            written = table(job.COLUMNS, job.rows_of(composition, dials, found))
        said = job.described(composition, dials, settings.cost, found)
        note = text_under(said, first_only(image=image) if image is not None else "")
        return io.NodeOutput(composed, to_comfy(composition.conditioning), written, ui=note)

    @classmethod
    def validate_inputs(cls, text: str | None = None, words: str | None = None) -> bool | str:
        return first_fault(list_verdict("words", words), embeddings_verdict(text=text))
