"""Localize Words."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...core import types
from ...core.localize.methods.attencraft import METHOD
from ...core.messages import listed
from ...host.adapters import backbone_of
from ...host.jobs.blocks import read_by
from ...host.jobs.bounding_boxes import boxes_around
from ...host.pictures.concept_pictures import concept_masks, concept_overlay, describe_concepts
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    ConceptPictures,
    Concepts,
    boxes_output,
    embeddings_verdict,
    first_fault,
    first_only,
    lines_of,
    list_verdict,
    model_inputs,
    picture_batch,
    picture_of,
    preset_choice,
    preset_input,
    preset_verdict,
    reading_inputs,
    seed_input,
    text_input,
    text_under,
)
from .localize_concepts import UNSET, changed


class LocalizeWords(io.ComfyNode):
    """AttenCraft's masks: where named things are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLocalizeWords",
            display_name="Localize Words",
            category=f"{CATEGORY}/localize",
            description=(
                "Finds the things that you name in a picture. The node reads the cross-attention of each "
                "word, spreads it with the self-attention, and keeps the cells where one word leads "
                "(AttenCraft's masks). The start-of-text token stands for the background; in models "
                "without that token, the background is whatever no word reaches. The node reads the first "
                "picture of a batch, or all of them, and needs one or a few model passes for each."
            ),
            search_aliases=["AttenCraft", "word masks", "segment by text", "grounding"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model whose attention is read."),
                io.Image.Input("image", tooltip=f"The picture, at a size that suits the model. {OF_A_BATCH}"),
                text_input(
                    "words",
                    "cat, dog",
                    "What to find, one thing per line or separated by commas. The concepts get these names.",
                ),
                preset_choice(
                    list(METHOD.presets),
                    "small: for the lab model and other small latents. paper: the published settings, for "
                    "Stable Diffusion at 512 pixels.",
                ),
                preset_input(
                    io.Float.Input,
                    "margin",
                    UNSET,
                    0.99,
                    "How far, from 0 to 1, a word must lead over every other word in a cell. Larger "
                    "values give smaller masks.",
                    step=0.01,
                ),
                io.Boolean.Input(
                    "fill",
                    default=False,
                    advanced=True,
                    tooltip="Where no word leads by that margin, the word with the highest value takes the cell.",
                ),
                seed_input("Random seed for the noise that is added to the picture."),
                *reading_inputs(UNSET),
                io.Boolean.Input(
                    "all_pictures",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Also finds the words in the other pictures of the batch: MORE lets Learn Concept Tokens "
                    "learn from all of them. Every picture must show each word.",
                ),
                preset_input(
                    io.Int.Input,
                    "affinity_power",
                    int(UNSET),
                    16,
                    "How many times self-attention spreads the attention to a word: 4 in the preset "
                    "paper, 1 in small. On small latents a higher value blurs one thing into another, and "
                    "words lose their masks.",
                    optional=True,
                    advanced=True,
                ),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS", tooltip="For Edit Concepts and Learn Concept Tokens."),
                io.Mask.Output(display_name="MASKS", tooltip="One mask for each word, at the size of the picture."),
                io.Image.Output(display_name="OVERLAY", tooltip="The picture with masks and names."),
                boxes_output(),
                ConceptPictures.Output(
                    display_name="MORE",
                    tooltip="The other pictures of the batch with the same words, for the input more of Learn Concept "
                    "Tokens. Empty unless all_pictures is on.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, preset: str | None = None, words: str | None = None) -> bool | str:
        verdict = preset_verdict(preset, list(METHOD.presets))
        return first_fault(verdict, list_verdict("words", words), embeddings_verdict(words=words))

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
        blocks: str = "",
        noise: float = UNSET,
        all_pictures: bool = False,
        affinity_power: int = int(UNSET),
        **inputs: Any,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        settings = read_by(
            backbone,
            replace(METHOD.preset(preset), **changed({**inputs, "noise": noise, "affinity_power": affinity_power})),
            blocks,
        )
        pictures = picture_batch(image).split(1) if all_pictures else [picture]
        progress = start_progress(cls.hidden.unique_id)
        sources = []
        for number, one in enumerate(pictures, 1):
            found = METHOD.localize(backbone, one, settings, words=lines_of(words), seed=seed)
            sources.append(_found_in(one, found, number))
            progress(number, len(pictures))
        first, more = sources[0].concepts, tuple(sources[1:])
        overlay = torch.cat([concept_overlay(source.picture, source.concepts) for source in sources])
        shown = ui.PreviewImage(overlay, cls=cls).as_dict()
        shown |= text_under(describe_concepts(first), "" if all_pictures else first_only(image=image))
        masks = concept_masks(first, picture)
        return io.NodeOutput(first, masks, overlay, boxes_around(masks, first.names), more, ui=shown)


def _found_in(picture: Tensor, concepts: types.Concepts, number: int) -> types.Source:
    """A further picture with its concepts. Raises ``ValueError`` where one was not found."""
    missing = [name for name, mask in zip(concepts.names, concepts.masks, strict=True) if not bool(mask.any())]
    if missing and number > 1:
        raise ValueError(
            f"{listed(missing)} was not found in picture {number} of the batch; leave that picture out, or lower margin"
        )
    return types.Source(picture, concepts)
