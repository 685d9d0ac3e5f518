"""Audit Ingredients."""

import torch
from torch import Tensor

from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.explain.audit import audit
from ...core.explain.registry import encode
from ...core.explain.scores import PictureScores
from ...host.jobs.explain.audit import audit_report, audit_sheet, groups_of
from ...host.jobs.explain.ingredients import check_pictures, valid_for
from ...host.schema import io
from ...host.shared.progress import check_interrupt
from ..sockets import CATEGORY, Activations, ConceptBank, ConceptScores, page_under, picture_batch, seed_input


class AuditIngredients(io.ComfyNode):
    """What drawings lack or have too much of, against a reference."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAuditIngredients",
            display_name="Audit Ingredients",
            category=f"{CATEGORY}/explain",
            description=(
                "Compares a model's drawings with a folder of reference: which ingredients are missing, which are "
                "excessive, and which pictures are copied. With drawings of the base model as reference and the same "
                "prompts drawn with a LoRA, it says what the LoRA changed."
            ),
            search_aliases=["blind spots", "drift", "LoRA report", "what did my LoRA change", "memorised", "bias"],
            is_output_node=True,
            inputs=[
                ConceptBank.Input(
                    "bank",
                    tooltip="Ingredients of the reference and the drawings together (more of Find Ingredients), and "
                    "many of them, such as 128 by ra_sae: a change of one thing is seen where it has ingredients of "
                    "its own.",
                ),
                Activations.Input(
                    "reference", tooltip="Activations of the reference, recorded as the ingredients' were."
                ),
                io.Image.Input("reference_pictures", tooltip="The pictures of the reference, in the same order."),
                Activations.Input("drawn", tooltip="Activations of the drawings, by the same model and layer."),
                io.Image.Input("drawn_pictures", tooltip="The drawings, in the same order."),
                io.Float.Input(
                    "factor",
                    default=2.0,
                    min=1.0,
                    max=100.0,
                    step=0.1,
                    tooltip=(
                        "An ingredient counts as excessive if the drawings have at least this many "
                        "times as much of it as the reference, and as missing if the reference has at "
                        "least this many times as much as the drawings."
                    ),
                ),
                seed_input("Random seed of the resampling, which says which differences exceed chance."),
                io.Boolean.Input(
                    "paired",
                    default=False,
                    optional=True,
                    tooltip="Whether each drawing has the prompt and seed of the reference picture with its number, as "
                    "when the same batch is drawn without a LoRA and with it. Smaller differences then "
                    "exceed chance, both sides are shown, and no copies are looked for.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="SHEET", tooltip="What is missing, excessive and copied, with pictures."),
                ConceptScores.Output(
                    display_name="CONCEPT_SCORES", tooltip="How many times as much of each ingredient there is."
                ),
                io.String.Output(display_name="REPORT", tooltip="The findings in words, a line each."),
            ],
        )

    @classmethod
    def execute(
        cls,
        bank: core_bank.ConceptBank,
        reference: core_activations.Activations,
        reference_pictures: Tensor,
        drawn: core_activations.Activations,
        drawn_pictures: Tensor,
        factor: float,
        seed: int,
        paired: bool = False,
    ) -> io.NodeOutput:
        known, made = picture_batch(reference_pictures), picture_batch(drawn_pictures)
        check_pictures(len(reference), known)
        check_pictures(len(drawn), made)
        codes = encode(bank, reference, check_interrupt), encode(bank, drawn, check_interrupt)
        found = audit(*codes, seed % 2**31, paired)
        groups = groups_of(found, *codes, factor)
        said = audit_report(found, groups, codes[0], reference, drawn, factor)
        sheet = audit_sheet(found, groups, *codes, known, made)
        ratio = torch.clamp(found.ratio, max=1e6)[None]
        scores = PictureScores(ratio, bank.names, "times as much as in the reference", valid_for(bank))
        return io.NodeOutput(sheet, scores, said, ui=page_under(cls, sheet, said))
