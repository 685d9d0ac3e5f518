"""Match Concepts."""

from typing import Any

import torch
from torch import Tensor

from ...core import types
from ...core.localize.match import MatchSettings, match
from ...core.types import Source
from ...host.adapters import at_work, backbone_of
from ...host.jobs.blocks import read_by
from ...host.pictures.concept_pictures import concept_overlay, picture_for
from ...host.pictures.drawing import side_by_side
from ...host.schema import io, ui
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    ConceptPictures,
    Concepts,
    first_only,
    model_inputs,
    picture_of,
    reading_inputs,
    seed_input,
    text_under,
)
from .localize_concepts import UNSET


class MatchConcepts(io.ComfyNode):
    """The concepts of one picture found again in another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierMatchConcepts",
            display_name="Match Concepts",
            category=f"{CATEGORY}/localize",
            description=(
                "Finds the concepts of one picture in another picture of the same things and gives them "
                "the same names. The node compares the queries of the model's self-attention. Learn "
                "Concept Tokens then learns from both pictures; chain several of these nodes for more "
                "pictures. It needs two model passes."
            ),
            search_aliases=["same concept", "correspondence", "several pictures", "multiple images"],
            is_output_node=True,
            inputs=[
                *model_inputs("The model that looks at both pictures."),
                io.Image.Input("image", tooltip=f"The first picture. Its concepts give the names. {OF_A_BATCH}"),
                Concepts.Input("concepts", tooltip="The concepts of the first picture."),
                io.Image.Input("other_image", tooltip=f"Another picture of the same things. {OF_A_BATCH}"),
                Concepts.Input(
                    "other_concepts",
                    tooltip="The concepts of the other picture, at least as many as in the first. Concepts "
                    "without a partner are dropped.",
                ),
                seed_input("Random seed for the noise that is added to both pictures."),
                ConceptPictures.Input(
                    "more",
                    optional=True,
                    tooltip="Pictures that were matched before. The other picture is added to them.",
                ),
                *reading_inputs(UNSET),
            ],
            outputs=[
                ConceptPictures.Output(
                    display_name="MORE",
                    tooltip="For the input more of Learn Concept Tokens or of the next Match Concepts.",
                ),
                Concepts.Output(
                    display_name="OTHER_CONCEPTS",
                    tooltip="The concepts of the other picture, with the names of the first.",
                ),
                io.Image.Output(display_name="OVERLAY", tooltip="Both pictures with masks, names and similarities."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        concepts: types.Concepts,
        other_image: Tensor,
        other_concepts: types.Concepts,
        seed: int,
        more: tuple[Source, ...] = (),
        blocks: str = "",
        noise: float = UNSET,
    ) -> io.NodeOutput:
        backbone = backbone_of(model, clip, vae)
        first = Source(picture_for(concepts, picture_of(image)), concepts)
        other = Source(picture_for(other_concepts, picture_of(other_image)), other_concepts)
        settings = read_by(backbone, MatchSettings(None if noise == UNSET else noise), blocks)
        with at_work(backbone), torch.no_grad():
            found = match(backbone, first, other, seed, settings)
        overlays = [concept_overlay(source.picture, source.concepts) for source in (first, found.source)]
        overlay = side_by_side(overlays)
        lines = [
            f"<{name}>: <{former}> of the other picture, similarity {cosine:.2f}"
            for name, former, cosine in zip(concepts.names, found.former, found.cosines.tolist(), strict=True)
        ]
        shown = ui.PreviewImage(overlay, cls=cls).as_dict()
        shown |= text_under(*lines, first_only(image=image, other_image=other_image))
        return io.NodeOutput((*more, found.source), found.source.concepts, overlay, ui=shown)
