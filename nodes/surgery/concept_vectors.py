"""Find Concept Vectors and Edit Concept Vectors."""

import json
from collections.abc import Sequence
from typing import Any

import torch

from ...core.settings import with_entries
from ...core.surgery.traces import vectors as core_vectors
from ...core.surgery.traces.reading import TEMPLATES
from ...core.surgery.traces.vectors import TraceSettings, edited, find_vectors, passes_of, readout
from ...core.types import Erasure as CoreErasure
from ...host.adapters import at_work, backbone_of, with_text_erasure
from ...host.jobs.surgery.traces import vectors_page, vectors_said
from ...host.schema import io
from ...host.shared.progress import Counter
from ..sockets import (
    CATEGORY,
    ConceptVectors,
    Erasure,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    page_under,
    seed_input,
    settings_input,
    text_input,
    text_under,
)

EDITS = ("scale", "noise")


class FindConceptVectors(io.ComfyNode):
    """Where in a text encoder a word lives."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierFindConceptVectors",
            display_name="Find Concept Vectors",
            category=f"{CATEGORY}/surgery",
            description=(
                "Finds the value vectors of a CLIP text encoder that carry a concept: those that change most what the "
                "encoder says of the concept, and least what it says of other words of its kind. Each is set to 0 to "
                "measure that. Edit Concept Vectors changes them, and Audit Erasure Inside shows whether an erasure "
                "did."
            ),
            search_aliases=["parametric knowledge traces", "ConceptVectors", "knowledge neurons", "MLP", "unlearning"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder to look into."),
                io.String.Input("concept", default="cat", tooltip="A word or a short phrase."),
                text_input(
                    "others",
                    "dog, lion, rabbit, fox",
                    "Other words of its kind, at least two, one per line or separated by commas. They keep "
                    "what the vectors have in common with the concept.",
                ),
                io.Int.Input("count", default=32, min=1, max=1024, tooltip="How many value vectors to find."),
                settings_input(
                    "Settings as name=value, separated by commas: rounds=8 searches again more often, spare=5 "
                    "takes vectors that other words need even less."
                ),
            ],
            outputs=[
                ConceptVectors.Output(
                    display_name="VECTORS", tooltip="For Edit Concept Vectors and Audit Erasure Inside."
                ),
                io.Image.Output(
                    display_name="PAGE",
                    tooltip="Layers, then each vector with what it takes from the concept and from other words, and "
                    "the words of the vocabulary that it is most like, which is only a hint.",
                ),
                io.String.Output(display_name="REPORT", tooltip="The same in words."),
            ],
        )

    @classmethod
    def execute(cls, clip: Any, concept: str, others: str, count: int, settings: str = "") -> io.NodeOutput:
        how = with_entries("Find Concept Vectors", TraceSettings(count=count), lines_of(settings))
        words = lines_of(others)
        count_texts = Counter(cls.hidden.unique_id, passes_of(1 + len(words), len(TEMPLATES), how))
        with at_work(backbone_of(clip=clip)) as backbone:
            found = find_vectors(backbone, concept.strip(), words, how, count_texts)
            hints = readout(backbone, found.vectors)
        page, report = vectors_page(found, hints), vectors_said(found)
        return io.NodeOutput(found, page, report, ui=page_under(cls, page, report))

    @classmethod
    def validate_inputs(cls, concept: str | None = None, others: str | None = None) -> bool | str:
        return first_fault(
            list_verdict("concept", concept),
            list_verdict("others", others),
            embeddings_verdict(concept=concept, others=others),
        )


class EditConceptVectors(io.ComfyNode):
    """A text encoder whose concept vectors are changed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierEditConceptVectors",
            display_name="Edit Concept Vectors",
            category=f"{CATEGORY}/surgery",
            description=(
                "Changes the value vectors that Find Concept Vectors found: takes them out, turns them around, makes "
                "them stronger, or adds noise in proportion to their length. The change is a patch on a copy of CLIP, "
                "and Save Erasure as LoRA writes it to a file."
            ),
            search_aliases=["ablate", "knowledge neurons", "unlearn", "remove word", "needle"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder in which the vectors were found."),
                ConceptVectors.Input("vectors", tooltip="From Find Concept Vectors."),
                io.Combo.Input(
                    "edit",
                    options=list(EDITS),
                    default=EDITS[0],
                    tooltip="scale: each vector is multiplied by the amount. noise: noise of the amount times the "
                    "vector's length is added.",
                ),
                io.Float.Input(
                    "amount",
                    default=0.0,
                    min=-8.0,
                    max=8.0,
                    step=0.05,
                    tooltip="For scale: 0 takes the vectors out, 1 changes nothing, less than 0 turns them around, "
                    "more than 1 strengthens the concept. For noise: 0 changes nothing.",
                ),
                seed_input("Random seed of the noise."),
                io.Boolean.Input(
                    "selective_only",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Change only vectors that belong to the concept rather than to other words as well.",
                ),
            ],
            outputs=[
                io.Clip.Output(display_name="CLIP", tooltip="The text encoder to encode prompts with."),
                Erasure.Output(display_name="ERASURE", tooltip="The change itself, for Save Erasure as LoRA."),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        vectors: core_vectors.ConceptVectors,
        edit: Any,
        amount: float,
        seed: int,
        selective_only: bool = False,
    ) -> io.NodeOutput:
        chosen = [one for one in vectors.vectors if one.selective or not selective_only]
        if not chosen:
            raise ValueError(
                f"none of the vectors belongs to {vectors.concept} alone; switch selective_only off, or find others"
            )
        backbone = backbone_of(clip=clip)
        changes = edited(backbone, chosen, edit, amount, torch.Generator().manual_seed(seed % 2**63))
        facts = {
            "method": "concept vectors",
            "concepts": json.dumps([vectors.concept]),
            "edit": edit,
            "amount": str(amount),
        }
        erasure = CoreErasure({}, 1.0, backbone.family, facts, changes)
        said = f"{len(chosen)} value vectors in layers {_listed(sorted({one.layer for one in chosen}))} are changed."
        return io.NodeOutput(with_text_erasure(clip, erasure), erasure, ui=text_under(said))


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))
