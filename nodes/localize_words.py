"""Localize Words."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ..core.localize.methods.attencraft import METHOD
from ..host.adapters import backbone_of
from ..host.concept_pictures import concept_masks, concept_overlay, describe_concepts
from ..host.schema import io, make_input, make_schema, ui
from .localize_concepts import PRESETS_OWN, changed
from .sockets import CATEGORY, Concepts, lines_of, model_inputs, picture_of, preset_input, seed_input


class LocalizeWords(io.ComfyNode):
    """AttenCraft's masks: where named things are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return make_schema(
            node_id="ConceptAtelierLocalizeWords",
            display_name="Localize Words",
            category=f"{CATEGORY}/localize",
            description=(
                "Finds the things that you name in a picture: what each word attends to, spread over what hangs "
                "together, and kept where one word leads (AttenCraft's masks). The start-of-text token stands for the "
                "background. Costs a model pass or a few. Of a batch, the first picture is read."
            ),
            search_aliases=["AttenCraft", "word masks", "segment by text", "grounding"],
            is_output_node=True,
            inputs=[
                *model_inputs("The model whose attention is read."),
                io.Image.Input("image", tooltip="The picture, at a size the model likes."),
                io.String.Input(
                    "words",
                    default="cat, dog",
                    multiline=True,
                    tooltip="What to find, one thing per line or with commas. Concepts are named so.",
                ),
                io.Combo.Input(
                    "preset",
                    options=list(METHOD.presets),
                    default="small_grid",
                    tooltip="small_grid: for the lab model and other small latents. paper: the published settings, for "
                    "Stable Diffusion at 512 pixels.",
                ),
                preset_input(
                    io.Float.Input,
                    "margin",
                    PRESETS_OWN,
                    0.99,
                    "By how much a word must lead in a cell, of 1; the larger, the smaller the masks.",
                    step=0.01,
                ),
                make_input(
                    io.Boolean.Input,
                    "fill",
                    default=False,
                    advanced=True,
                    tooltip="Give cells in which no word leads to the one that is ahead.",
                ),
                seed_input("Of the noise that the picture is shown with."),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS", tooltip="For Edit Concepts and Learn Concept Tokens."),
                io.Mask.Output(display_name="MASKS", tooltip="One mask per word, in the picture's size."),
                io.Image.Output(display_name="OVERLAY", tooltip="The picture with masks and names."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        words: str,
        preset: str,
        seed: int,
        **knobs: Any,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        settings = replace(METHOD.preset(preset), **changed(knobs))
        found = METHOD.localize(backbone, picture, settings, words=lines_of(words), seed=seed)
        overlay = concept_overlay(picture, found)
        shown = ui.PreviewImage(overlay, cls=cls).as_dict() | ui.PreviewText(describe_concepts(found)).as_dict()
        return io.NodeOutput(found, concept_masks(found, picture), overlay, ui=shown)
