"""Localize Concepts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...core.localize.registry import METHODS, method_and_preset, preset_names
from ...core.settings import settings_of
from ...host.adapters import backbone_of
from ...host.jobs.blocks import preset_changes, read_by
from ...host.jobs.bounding_boxes import boxes_around
from ...host.pictures.concept_pictures import concept_masks, concept_overlay, describe_concepts
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    OF_A_BATCH,
    Concepts,
    boxes_output,
    first_only,
    picture_of,
    preset_choice,
    preset_input,
    preset_verdict,
    reading_inputs,
    reads,
    seed_input,
    text_under,
)

UNSET = -1.0
"""Keeps the preset's value, where 0 has a meaning of its own."""

UNSET_OUTLINE = "as preset"
"""The same for the outline."""


DEFAULTS = {"adjacency": True, "count": None, "max_concepts": None}
"""Inputs that have no value for keeping the preset's, and the value that they have in every preset."""


def changed(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that override the preset: those that do not keep its value."""
    unset = {"min_clusters": 0, "outline": UNSET_OUTLINE}
    return {name: value for name, value in inputs.items() if value != unset.get(name, UNSET)}


class LocalizeConcepts(io.ComfyNode):
    """ConceptExpress stage 1: a picture's concepts by clustering the model's self-attention."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLocalizeConcepts",
            display_name="Localize Concepts",
            category=f"{CATEGORY}/localize",
            description=(
                "Finds the concepts of a picture; you need not say how many there are. The node shows "
                "the picture to the model, clusters its self-attention (FINCH), removes the background "
                "and merges parts that belong together (ConceptExpress, ECCV 2024). It reads the first "
                "picture of a batch and needs a few model passes."
            ),
            search_aliases=["segment", "decompose", "ConceptExpress", "FINCH", "cluster attention"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model whose self-attention is clustered."),
                io.Clip.Input("clip", tooltip="The text encoder of that model. It encodes the empty prompt."),
                io.Vae.Input("vae", tooltip="The autoencoder of that model."),
                io.Image.Input(
                    "image", tooltip=f"The picture to take apart, at a size that suits the model. {OF_A_BATCH}"
                ),
                preset_choice(
                    preset_names(),
                    "small: for the lab model and other small latents. paper: the published "
                    "settings, for Stable Diffusion from 512 pixels. diffseg: DiffSeg's merging as "
                    "published; it also divides the background into segments, and only merge_threshold "
                    "decides how many.",
                ),
                *_piece_inputs(),
                *_count_inputs(),
                seed_input("Random seed for the noise that the preset small adds, and every preset on transformers."),
                *_outline_inputs(),
                io.Combo.Input(
                    "method",
                    options=[name for name, method in METHODS.items() if not method.needs],
                    default="conceptexpress",
                    optional=True,
                    advanced=True,
                    tooltip="\n".join(f"{one.title}: {one.help}" for one in METHODS.values() if not one.needs),
                ),
                *reading_inputs(UNSET),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS", tooltip="For Edit Concepts and Learn Concept Tokens."),
                io.Mask.Output(display_name="MASKS", tooltip="One mask for each concept, at the size of the picture."),
                io.Image.Output(display_name="OVERLAY", tooltip="The picture with masks, names and scores."),
                boxes_output(),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        preset: str,
        count: int,
        max_concepts: int,
        seed: int,
        method: str = "conceptexpress",
        blocks: str = "",
        noise: float = UNSET,
        **inputs: Any,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        localizer, name = method_and_preset(method, preset)
        changes = preset_changes(backbone, method, name)
        changes |= changed({**inputs, "noise": noise, "count": count or None, "max_concepts": max_concepts or None})
        settings = read_by(backbone, settings_of(localizer, name, changes, DEFAULTS), blocks)
        found = localizer.localize(backbone, picture, settings, seed=seed, on_step=start_progress(cls.hidden.unique_id))
        overlay = concept_overlay(picture, found, scores=True)
        shown = ui.PreviewImage(overlay, cls=cls).as_dict()
        shown |= text_under(describe_concepts(found), first_only(image=image))
        masks = concept_masks(found, picture)
        return io.NodeOutput(found, masks, overlay, boxes_around(masks, found.names), ui=shown)

    @classmethod
    def validate_inputs(cls, preset: str | None) -> bool | str:
        return preset_verdict(preset, preset_names())


def _piece_inputs() -> list[Any]:
    """How the picture is cut into pieces, and which of them are joined."""
    return [
        preset_input(
            io.Int.Input,
            "min_clusters",
            0,
            200,
            "Smallest number of pieces into which the picture is first cut. More pieces keep small things "
            "apart; fewer pieces merge them early.",
            advanced=True,
        ),
        preset_input(
            io.Float.Input,
            "saliency_threshold",
            UNSET,
            4.0,
            "Pieces whose saliency is below this multiple of the mean count as background. 0 keeps all pieces.",
            step=0.05,
            advanced=True,
        ),
        preset_input(
            io.Float.Input,
            "merge_threshold",
            UNSET,
            10.0,
            "Larger values merge more pieces, so fewer concepts remain. 0 merges none. With "
            "the preset small, the unit is the distance to the background.",
            step=0.05,
        ),
        io.Boolean.Input(
            "adjacency",
            default=True,
            advanced=True,
            tooltip="Merge only pieces that touch.",
        ),
    ]


def _count_inputs() -> list[Any]:
    """How many concepts there may be."""
    return [
        io.Int.Input(
            "count",
            default=0,
            min=0,
            max=50,
            tooltip="Number of things in the picture, if you know it, without the background. 0 lets the method "
            "decide.",
            **reads(auto=0),
        ),
        io.Int.Input(
            "max_concepts",
            default=0,
            min=0,
            max=50,
            advanced=True,
            tooltip="Keep only this many of the most salient concepts. 0 keeps all.",
            **reads(all=0),
        ),
    ]


def _outline_inputs() -> list[Any]:
    """How masks are drawn."""
    return [
        io.Combo.Input(
            "outline",
            options=[UNSET_OUTLINE, "edges", "smooth"],
            default=UNSET_OUTLINE,
            advanced=True,
            tooltip="How masks are drawn at the size of the picture. edges follows the edges of the picture "
            "(preset small). smooth uses the grid alone (preset paper).",
        ),
        preset_input(
            io.Float.Input,
            "neighbour_reach",
            UNSET,
            4.0,
            "Before it is clustered, attention is smoothed among neighbours of similar colour within this "
            "distance, in cells of the grid. 0 turns this off.",
            step=0.1,
            advanced=True,
        ),
    ]
