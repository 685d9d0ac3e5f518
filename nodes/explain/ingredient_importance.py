"""Ingredient Importance."""

from typing import Any

import torch
from torch import Tensor

from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.explain.importance.method import Budget
from ...core.explain.importance.registry import MEASURES
from ...host.adapters import at_work, backbone_of
from ...host.jobs.explain.importance import (
    BEST,
    Models,
    fidelity_chart,
    head_of,
    importance_chart,
    importance_report,
    measure_importance,
)
from ...host.pictures.drawing import side_by_side
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY, Activations, ConceptBank, ConceptScores, page_under, picture_batch, seed_input


class IngredientImportance(io.ComfyNode):
    """How much each ingredient matters to what a model says or draws."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierIngredientImportance",
            display_name="Ingredient Importance",
            category=f"{CATEGORY}/explain",
            description=(
                "Measures how much each ingredient matters, with its sign: to how well a picture fits a text, to what "
                "a diffusion model predicts, or to what separates these pictures from others. It also checks the "
                "order: taking out what matters most must change the score sooner than taking out at random."
            ),
            search_aliases=["CRAFT", "Sobol", "attribution", "fidelity", "insertion deletion", "what matters"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                ConceptBank.Input("bank", tooltip="From Find Ingredients, Show Ingredients or Load Ingredients."),
                Activations.Input(
                    "activations",
                    tooltip="Activations of the pictures, recorded in the same way as those of the ingredients.",
                ),
                io.Image.Input(
                    "pictures",
                    tooltip="The pictures that Record Activations read, in the same order; the first few are measured.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    tooltip="The text that the score is computed with. With CLIP_VISION: how well the "
                    "picture fits this text. With a diffusion model: how much of what this text "
                    "adds to the prediction remains. Empty measures how much of the model's own "
                    "answer for the picture remains.",
                ),
                io.Combo.Input(
                    "measure",
                    options=[BEST, *MEASURES],
                    default=BEST,
                    tooltip="best: the closed form for a linear probe, else Sobol indices.\n"
                    + "\n".join(f"{one.title}: {one.help}" for one in MEASURES.values()),
                ),
                io.Int.Input(
                    "most",
                    default=8,
                    min=1,
                    max=1024,
                    tooltip="At most this many pictures are measured, the first ones.",
                ),
                seed_input("Random seed, the one that Record Activations had."),
                io.ClipVision.Input("clip_vision", optional=True, tooltip="The picture encoder that was recorded."),
                io.Model.Input("model", optional=True, tooltip="The diffusion model that was recorded."),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The text encoder of that model, or the one that was trained with CLIP_VISION.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The autoencoder of that model."),
                Activations.Input(
                    "others",
                    optional=True,
                    tooltip="Of other pictures. The score is then a linear probe that separates the pictures from "
                    "these, and the closed form is exact.",
                ),
                io.Int.Input(
                    "points",
                    default=32,
                    min=2,
                    max=4096,
                    optional=True,
                    advanced=True,
                    tooltip="Points of the design for Sobol indices: (points + 1) x (ingredients + 1) passes of the "
                    "model for each picture; 32 are enough to rank, 128 to measure.",
                ),
                io.Boolean.Input(
                    "check",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Whether to check the order by insertion, deletion and mu-fidelity.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="BARS", tooltip="The ingredients that matter most."),
                io.Image.Output(display_name="CURVES", tooltip="Deletion and insertion, in three orders."),
                ConceptScores.Output(
                    display_name="CONCEPT_SCORES", tooltip="The importance of each ingredient for each picture."
                ),
                io.String.Output(
                    display_name="REPORT", tooltip="The ingredients in order, and whether to rely on the order."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        bank: core_bank.ConceptBank,
        activations: core_activations.Activations,
        pictures: Tensor,
        text: str,
        measure: str,
        most: int,
        seed: int,
        clip_vision: Any = None,
        model: Any = None,
        clip: Any = None,
        vae: Any = None,
        others: core_activations.Activations | None = None,
        points: int = 32,
        check: bool = True,
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        backbone = backbone_of(model, clip, vae)
        models = Models(clip_vision, model, clip, vae, backbone)
        head, probe = head_of(models, activations, given, text.strip(), seed, others)
        progress, few = start_progress(cls.hidden.unique_id), activations.part(slice(most))
        budget = Budget(points, seed % 2**31)
        with at_work(backbone):
            found = measure_importance(bank, few, given[:most], head, measure, budget, check, probe, progress)
        bars, said = importance_chart(found), importance_report(found, bank, activations)
        curves = torch.zeros(1, 1, 1, 3) if found.fidelity is None else fidelity_chart(found.fidelity)
        sheet = bars if found.fidelity is None else side_by_side([bars, curves])
        shown = page_under(cls, sheet, said)
        return io.NodeOutput(bars, curves, found.scores, said, ui=shown)
