"""Audit Erasure Inside."""

from typing import Any

from ...core.settings import preset_name
from ...core.surgery.begun import PRESETS
from ...core.surgery.traces import vectors as core_vectors
from ...core.surgery.traces.audit import audit, passes_of, typos
from ...host.adapters import backbone_of
from ...host.jobs.surgery.traces import audit_page, audit_said
from ...host.schema import io
from ...host.shared.progress import Counter
from ..sockets import (
    CATEGORY,
    ConceptVectors,
    ErasureAudit,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    page_under,
    preset_choice,
    preset_verdict,
    text_input,
)


class AuditErasureInside(io.ComfyNode):
    """Whether a concept is gone from a model, or only no longer drawn."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierAuditErasureInside",
            display_name="Audit Erasure Inside",
            category=f"{CATEGORY}/erase",
            description=(
                "Looks for an erased concept inside the model: in what the text encoder stores, in what "
                "the text encoder outputs, in what the denoiser reads from that, and in what the denoiser "
                "predicts. It also asks with other words and with typos. This distinguishes erasures in "
                "the text encoder, erasures in the denoiser's keys and values, and models that have "
                "relearnt the concept. Erasure Report puts the figures on its page."
            ),
            search_aliases=["parametric knowledge traces", "verify erasure", "unlearning audit", "synonyms", "typos"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The original model, from which nothing was erased."),
                io.Model.Input("erased_model", tooltip="The MODEL of Erase Concepts, Train Erasure or Load Erasure."),
                io.Clip.Input("clip", tooltip="The text encoder of the original model."),
                io.String.Input("concept", default="cat", tooltip="The concept that was erased."),
                text_input(
                    "others",
                    "dog, lion, rabbit, fox",
                    "Other words of its kind that should stay, at least two, one per line or separated by commas.",
                ),
                text_input(
                    "other_words",
                    "kitten, kitty",
                    "Other words for the concept: synonyms, descriptions, other languages. May be empty.",
                ),
                io.Boolean.Input("typos", default=True, tooltip="Also ask by typos of the concept."),
                io.Clip.Input(
                    "erased_clip",
                    optional=True,
                    tooltip="The CLIP of the erasure, for methods that change the text encoder.",
                ),
                ConceptVectors.Input(
                    "vectors",
                    optional=True,
                    tooltip="From Find Concept Vectors on the original CLIP, to see whether they were changed.",
                ),
                preset_choice(
                    list(PRESETS),
                    "How the pictures are begun along which the predictions of both models are compared. small: "
                    "for the lab model. paper: pictures of 512 pixels.",
                    optional=True,
                ),
            ],
            outputs=[
                ErasureAudit.Output(display_name="AUDIT", tooltip="For Erasure Report."),
                io.Image.Output(
                    display_name="PAGE", tooltip="How deep the erasure goes, and which words still lead to the concept."
                ),
                io.String.Output(display_name="REPORT", tooltip="The same in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        erased_model: Any,
        clip: Any,
        concept: str,
        others: str,
        other_words: str,
        typos: bool,
        erased_clip: Any = None,
        vectors: core_vectors.ConceptVectors | None = None,
        preset: str = "small",
    ) -> io.NodeOutput:
        original, erased = (
            backbone_of(model, clip),
            backbone_of(erased_model, clip if erased_clip is None else erased_clip),
        )
        words, drawing = lines_of(others), PRESETS[preset_name(preset)]
        count = Counter(cls.hidden.unique_id, passes_of(len(words), drawing))
        found = audit(
            original,
            erased,
            concept.strip(),
            words,
            words_of(concept.strip(), other_words, typos),
            vectors.vectors if vectors else (),
            drawing=drawing,
            on_pass=count,
        )
        page, report = audit_page(found), audit_said(found)
        return io.NodeOutput(found, page, report, ui=page_under(cls, page, report))

    @classmethod
    def validate_inputs(
        cls,
        concept: str | None = None,
        others: str | None = None,
        other_words: str | None = None,
        preset: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            list_verdict("concept", concept),
            list_verdict("others", others),
            embeddings_verdict(concept=concept, others=others, other_words=other_words),
        )


def words_of(concept: str, other_words: str, mistyped: bool) -> list[tuple[str, str]]:
    """Words that may lead to a concept, each with its kind."""
    found = [(word, "other word") for word in lines_of(other_words)]
    return found + ([(word, "typo") for word in typos(concept)] if mistyped else [])
