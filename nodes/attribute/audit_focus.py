"""Audit Focus."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.attention.resize import resize_maps
from ...core.attention.stretch import stretched
from ...core.attribute.focus import audit_focus
from ...host.adapters import backbone_of
from ...host.jobs.attribute.focus_reports import described, focus_csv
from ...host.jobs.prompts import check_marks
from ...host.pictures.heat_pictures import heat_grid
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    first_only,
    list_verdict,
    masks_of,
    model_inputs,
    page_under,
    picture_of,
    seed_input,
    text_input,
)
from ..sockets import stretched as stretched_masks


class AuditFocus(io.ComfyNode):
    """How much of a word's attention lies outside its mask."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAuditFocus",
            display_name="Audit Focus",
            category=f"{CATEGORY}/attribute",
            description=(
                "Says which share of the attention to a word lies outside the mask of its thing: a learnt token or a "
                "trigger word of a LoRA may have learnt the background as well. The picture is noised to several "
                "levels and read once at each; the node gives the share for every block and level, and lists the "
                "layers that look away most."
            ),
            search_aliases=["trigger word", "LoRA", "background", "attention", "leak"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that reads the word, with the LoRA in force if there is one."),
                io.Image.Input("image", tooltip="The picture. The node reads the first picture of a batch."),
                io.Mask.Input("mask", tooltip="Where the word's thing is in the picture."),
                text_input(
                    "text", "a photo of <1>", "A sentence that says what the picture shows, with the word in it."
                ),
                io.String.Input("word", default="<1>", tooltip="The word, the learnt token or the trigger word."),
                io.Int.Input(
                    "levels", default=5, min=1, max=100, tooltip="Levels of noise; each is one pass of the model."
                ),
                seed_input("Random seed for the noise."),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the text uses."),
            ],
            outputs=[
                io.Float.Output(display_name="OUTSIDE", tooltip="The share outside the mask, 0 to 1."),
                io.Image.Output(display_name="MAP", tooltip="The picture with the mean attention to the word."),
                io.String.Output(
                    display_name="CSV", tooltip="A line for each layer with its share outside the mask at every level."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        mask: Tensor,
        text: str,
        word: str,
        levels: int,
        seed: int,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        check_marks(text, tokens)
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        masks = masks_of(mask)
        found = audit_focus(
            backbone,
            backbone.encode_image(picture),
            text,
            word,
            masks[0],
            levels,
            seed=seed,
            placeholders=tokens.placeholders() if tokens else {},
            on_step=start_progress(cls.hidden.unique_id),
        )
        heat = resize_maps(stretched(found.heat[None]), (picture.shape[-2], picture.shape[-1]), "bilinear")[None]
        drawn = heat_grid(heat.clamp(0, 1), [word], image[:1, ..., :3])
        notes = (
            first_only(image=image),
            f"Of the {len(masks)} masks, the first was read." if len(masks) > 1 else "",
            stretched_masks(masks, image),
        )
        said = page_under(cls, drawn, described(found, word), *notes)
        return io.NodeOutput(found.share, drawn, focus_csv(found), ui=said)

    @classmethod
    def validate_inputs(cls, text: str | None = None, word: str | None = None) -> bool | str:
        return first_fault(list_verdict("word", word), embeddings_verdict(text=text, word=word))
