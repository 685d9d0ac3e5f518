"""Localize Concepts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..core.localize.registry import METHODS, method_and_preset, preset_names
from ..core.settings import settings_of
from ..host.adapters import backbone_of
from ..host.concept_pictures import concept_masks, concept_overlay, describe_concepts
from ..host.progress import start_progress
from ..host.schema import io, make_input, make_schema, ui
from .sockets import CATEGORY, Concepts, picture_of, preset_input, reads, seed_input

PRESETS_OWN = -1.0
"""Stands for what the preset says, where 0 means something."""

PRESETS_OUTLINE = "as preset"


DEFAULTS = {"adjacency": True, "count": None, "max_concepts": None}
"""Inputs without a value of their own that keeps the preset's, and what every preset says."""


def changed(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs that were turned: without those that leave the preset's own value."""
    own = {"min_clusters": 0, "outline": PRESETS_OUTLINE}
    return {name: value for name, value in knobs.items() if value != own.get(name, PRESETS_OWN)}


class LocalizeConcepts(io.ComfyNode):
    """ConceptExpress stage 1: a picture's concepts by clustering the model's self-attention."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return make_schema(
            node_id="ConceptAtelierLocalizeConcepts",
            display_name="Localize Concepts",
            category=f"{CATEGORY}/localize",
            description=(
                "Finds the concepts of a picture without being told how many: shows the picture to the model, clusters "
                "its self-attention (FINCH), drops the background, merges parts that belong together "
                "(ConceptExpress, ECCV 2024). Of a batch, the first picture is read. Costs a few model passes."
            ),
            search_aliases=["segment", "decompose", "ConceptExpress", "FINCH", "cluster attention"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model whose attention is clustered."),
                io.Clip.Input("clip", tooltip="The text encoder of that model; it encodes the empty prompt."),
                io.Vae.Input("vae", tooltip="The autoencoder of that model."),
                io.Image.Input("image", tooltip="The picture to take apart, at a size the model likes."),
                io.Combo.Input(
                    "preset",
                    options=preset_names(),
                    default="small_grid",
                    tooltip="small_grid: for the lab model and other small latents. paper: the published settings, for "
                    "Stable Diffusion at 512 pixels and more. diffseg: DiffSeg's merging as published, the background "
                    "in segments too; there merge_threshold alone says how many.",
                ),
                *_piece_inputs(),
                *_count_inputs(),
                seed_input("Of the noise that the small_grid preset adds; the others use none."),
                *_outline_inputs(),
                make_input(
                    io.Combo.Input,
                    "method",
                    options=[name for name, method in METHODS.items() if not method.needs],
                    default="conceptexpress",
                    optional=True,
                    advanced=True,
                    tooltip="\n".join(f"{one.title}: {one.help}" for one in METHODS.values() if not one.needs),
                ),
            ],
            outputs=[
                Concepts.Output(display_name="CONCEPTS", tooltip="For Edit Concepts and Learn Concept Tokens."),
                io.Mask.Output(display_name="MASKS", tooltip="One mask per concept, in the picture's size."),
                io.Image.Output(display_name="OVERLAY", tooltip="The picture with masks, names and scores."),
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
        **knobs: Any,
    ) -> io.NodeOutput:
        backbone, picture = backbone_of(model, clip, vae), picture_of(image)
        localizer, name = method_and_preset(method, preset)
        changes = changed({**knobs, "count": count or None, "max_concepts": max_concepts or None})
        settings = settings_of(localizer, name, changes, DEFAULTS)
        found = localizer.localize(backbone, picture, settings, seed=seed, on_step=start_progress(cls.hidden.unique_id))
        overlay = concept_overlay(picture, found, scores=True)
        shown = ui.PreviewImage(overlay, cls=cls).as_dict() | ui.PreviewText(describe_concepts(found)).as_dict()
        return io.NodeOutput(found, concept_masks(found, picture), overlay, ui=shown)


def _piece_inputs() -> list[Any]:
    """How the picture is cut into pieces, and which of them are joined."""
    return [
        preset_input(
            io.Int.Input,
            "min_clusters",
            0,
            200,
            "The picture is first cut into at least this many pieces. More pieces keep small things "
            "apart, fewer join them early.",
            advanced=True,
        ),
        preset_input(
            io.Float.Input,
            "saliency_threshold",
            PRESETS_OWN,
            4.0,
            "Pieces less salient than this many times the average are background; 0 keeps all.",
            step=0.05,
            advanced=True,
        ),
        preset_input(
            io.Float.Input,
            "merge_threshold",
            PRESETS_OWN,
            10.0,
            "The larger, the more readily pieces are joined (fewer concepts); 0 joins none. For "
            "small_grid it is in units of the distance to the background.",
            step=0.05,
        ),
        make_input(
            io.Boolean.Input,
            "adjacency",
            default=True,
            advanced=True,
            tooltip="Only pieces that touch may be joined.",
        ),
    ]


def _count_inputs() -> list[Any]:
    """How many concepts there may be."""
    return [
        make_input(
            io.Int.Input,
            "count",
            default=0,
            min=0,
            max=50,
            tooltip="How many things there are, if you know, without the background; 0 lets the method decide.",
            **reads(auto=0),
        ),
        make_input(
            io.Int.Input,
            "max_concepts",
            default=0,
            min=0,
            max=50,
            advanced=True,
            tooltip="Keep only the most salient ones; 0 keeps all.",
            **reads(all=0),
        ),
    ]


def _outline_inputs() -> list[Any]:
    """How masks are drawn."""
    return [
        make_input(
            io.Combo.Input,
            "outline",
            options=[PRESETS_OUTLINE, "edges", "smooth"],
            default=PRESETS_OUTLINE,
            advanced=True,
            tooltip="How masks are drawn in the picture's size. edges: along the picture's edges (small_grid). "
            "smooth: from the grid alone (paper).",
        ),
        preset_input(
            io.Float.Input,
            "neighbour_reach",
            PRESETS_OWN,
            4.0,
            "How far, in cells of the grid, attention is evened out among neighbours of like colour "
            "before it is clustered; 0 leaves it as it is.",
            step=0.1,
            advanced=True,
        ),
    ]
