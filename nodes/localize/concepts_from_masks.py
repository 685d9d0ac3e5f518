"""Concepts From Masks."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core.localize.given_masks import localize_masks
from ...core.localize.registry import method_and_preset, preset_names
from ...core.masks.edit import check_name, parse_names
from ...host.adapters import backbone_of
from ...host.jobs.blocks import read_by
from ...host.pictures.concept_pictures import concept_overlay, describe_concepts
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    Concepts,
    first_only,
    masks_of,
    model_inputs,
    picture_of,
    preset_choice,
    preset_verdict,
    reading_inputs,
    seed_input,
    stretched,
    text_under,
)
from .localize_concepts import UNSET, changed


class ConceptsFromMasks(io.ComfyNode):
    """Concepts whose masks a person or another node made."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierConceptsFromMasks",
            display_name="Concepts From Masks",
            category=f"{CATEGORY}/localize",
            description=(
                "Makes one concept from each mask that you have. Masks of another size are stretched to "
                "the picture, and where masks overlap, the smallest wins. The node shows the picture to "
                "the model to find where the attention of each concept should lie."
            ),
            search_aliases=["masks to concepts", "supervised concepts"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that will learn the concepts."),
                io.Image.Input("image", tooltip=f"The picture. {OF_A_BATCH}"),
                io.Mask.Input("masks", tooltip="One mask for each concept; 1 is inside."),
                io.String.Input(
                    "names", default="", tooltip="One name for each mask, separated by commas. Empty gives 1, 2, 3 ..."
                ),
                io.Combo.Input(
                    "target",
                    options=["attention", "mask"],
                    default="attention",
                    advanced=True,
                    tooltip="Where the attention of a concept should lie. attention: where the model looks from "
                    "inside the mask. mask: evenly over the mask.",
                ),
                preset_choice(preset_names(), "How the picture is shown to the model, as in Localize Concepts."),
                seed_input("Random seed for the noise, if the preset adds any."),
                *reading_inputs(UNSET),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS"),
                io.Image.Output(display_name="OVERLAY", tooltip="The picture with masks and names."),
            ],
        )

    @classmethod
    def validate_inputs(cls, preset: str | None) -> bool | str:
        return preset_verdict(preset, preset_names())

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        masks: Tensor,
        names: str,
        target: str,
        preset: str,
        seed: int,
        blocks: str = "",
        noise: float = UNSET,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        named = [check_name(name) for name in parse_names(names)] or None
        localizer, name = method_and_preset("conceptexpress", preset)
        progress = start_progress(cls.hidden.unique_id)
        chosen = replace(localizer.preset(name), **changed({"noise": noise}))
        given, settings = masks_of(masks), read_by(backbone, chosen, blocks)
        found = localize_masks(backbone, picture, given, settings, seed, named, target, progress)  # type: ignore[arg-type]
        overlay = concept_overlay(picture, found)
        shown = ui.PreviewImage(overlay, cls=cls).as_dict()
        shown |= text_under(describe_concepts(found), first_only(image=image), stretched(masks, image))
        return io.NodeOutput(found, overlay, ui=shown)
