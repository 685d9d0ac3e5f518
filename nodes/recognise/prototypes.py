"""Learn Prototypes, Find Prototypes, Prototype Feedback."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ...core.explain import activations as core_activations
from ...core.explain import bank as core_bank
from ...core.explain.registry import encode
from ...core.messages import shown
from ...core.recognise.parts.regions import find_subject
from ...core.recognise.registry import SUBJECTS
from ...core.recognise.subjects import Regions
from ...core.settings import with_entries
from ...host.jobs.explain.ingredients import check_pictures
from ...host.jobs.recognise.subjects import describe_subject
from ...host.schema import io, ui
from ..picture_names import names_input
from ..sockets import (
    CATEGORY,
    Activations,
    ConceptBank,
    lines_of,
    masks_of,
    picture_batch,
    seed_input,
    settings_input,
)
from .found import finding_inputs, finding_outputs, give

REGIONS: Mapping[str, Regions] = {
    "show the subject": "shown",
    "do not show it": "other",
    "are all of the subject": "whole",
}
"""Choices of people to what a method of learning a subject is given."""


def method_input() -> Any:
    """The list of methods of learning a subject."""
    return io.Combo.Input(
        "method",
        options=list(SUBJECTS),
        default=next(iter(SUBJECTS)),
        tooltip="\n".join(f"{one.title}: {one.help}" for one in SUBJECTS.values()),
    )


def checked_subject(bank: core_bank.ConceptBank) -> core_bank.ConceptBank:
    """A bank of a subject. Raises ``ValueError`` for one of another kind."""
    if bank.kind not in SUBJECTS:
        raise ValueError(
            f"this CONCEPT_BANK was found by {shown(bank.kind)}, and a subject is wanted; connect Learn Prototypes"
        )
    return bank


class LearnPrototypes(io.ComfyNode):
    """A subject from pictures with masks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLearnPrototypes",
            display_name="Learn Prototypes",
            category=f"{CATEGORY}/recognise",
            description=(
                "Learns a subject within seconds, from one to twenty pictures with masks: what distinguishes the "
                "inside of the masks from the outside. Find Prototypes then finds it in any picture."
            ),
            search_aliases=[
                "few-shot",
                "CSR",
                "visual search",
                "find my subject",
                "teach an object",
                "segment anything",
            ],
            is_output_node=True,
            inputs=[
                Activations.Input("activations", tooltip="Of the example pictures, from Record Activations."),
                io.Mask.Input(
                    "masks",
                    tooltip="Where the subject is, one mask for each picture in the same order; 1 is inside. An empty "
                    "mask means that the picture does not show the subject, which is just as useful.",
                ),
                io.String.Input(
                    "name", default="subject", tooltip="What to call it. The word decides nothing; masks alone do."
                ),
                method_input(),
                seed_input("Random seed of the clusters that prototypes are the centres of."),
                settings_input(
                    "Settings of the method as name=value, separated by commas; empty keeps the method's own: "
                    "prototypes=8, or ridge=1."
                ),
            ],
            outputs=[
                ConceptBank.Output(
                    display_name="CONCEPT_BANK",
                    tooltip="The subject, for Find Prototypes, Prototype Feedback, Save Ingredients and Ingredient "
                    "Masks.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        activations: core_activations.Activations,
        masks: Tensor,
        name: str,
        method: str,
        seed: int,
        settings: str = "",
    ) -> io.NodeOutput:
        learner: Any = SUBJECTS[method]
        chosen = with_entries(method, learner.settings, lines_of(settings))
        bank = learner.bank(activations, masks_of(masks), name.strip() or "subject", chosen, seed)
        return io.NodeOutput(bank, ui=ui.PreviewText(describe_subject(bank)))


class FindPrototypes(io.ComfyNode):
    """A subject in any pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierFindPrototypes",
            display_name="Find Prototypes",
            category=f"{CATEGORY}/recognise",
            description=(
                "Finds a subject in pictures: a mask that follows the edges of each picture, a score, a box and a "
                "square crop. In each picture it takes the connected part that shows the subject most."
            ),
            search_aliases=["find object", "crop subject", "segment", "detect", "locate", "auto crop dataset"],
            is_output_node=True,
            inputs=[
                ConceptBank.Input("bank", tooltip="From Learn Prototypes, Prototype Feedback or Load Ingredients."),
                Activations.Input("activations", tooltip="Of the pictures, recorded as the examples' were."),
                io.Image.Input("pictures", tooltip="The pictures that Record Activations read, in the same order."),
                *finding_inputs(),
                names_input(),
            ],
            outputs=finding_outputs(),
        )

    @classmethod
    def execute(
        cls,
        bank: core_bank.ConceptBank,
        activations: core_activations.Activations,
        pictures: Tensor,
        threshold: float,
        margin: float,
        crop_size: int,
        names: str = "",
    ) -> io.NodeOutput:
        given = picture_batch(pictures)
        check_pictures(len(activations), given)
        finding = find_subject(encode(checked_subject(bank), activations), 0, given, threshold)
        return give(cls, finding, bank, given, names, margin, crop_size)


class PrototypeFeedback(io.ComfyNode):
    """A subject that learns from a correction."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPrototypeFeedback",
            display_name="Prototype Feedback",
            category=f"{CATEGORY}/recognise",
            description=(
                "Corrects a subject: mark a region that was missed, or one that was found wrongly, and the subject is "
                "learnt again with it. The subject that is given stays as it is."
            ),
            search_aliases=["correct", "interactive", "refine", "negative example", "human in the loop"],
            is_output_node=True,
            inputs=[
                ConceptBank.Input("bank", tooltip="From Learn Prototypes or Load Ingredients."),
                Activations.Input("activations", tooltip="Of the pictures with the regions, recorded as the others."),
                io.Mask.Input("masks", tooltip="The regions, one mask for each picture; an empty one says nothing."),
                io.Combo.Input(
                    "regions",
                    options=list(REGIONS),
                    default=next(iter(REGIONS)),
                    tooltip="What the masks mark. show the subject: places where it was missed. do not show it: "
                    "places that were taken for it. are all of the subject: the whole subject in a further "
                    "example; the rest of that picture then counts as not the subject.",
                ),
            ],
            outputs=[ConceptBank.Output(display_name="CONCEPT_BANK", tooltip="The subject, corrected.")],
        )

    @classmethod
    def execute(
        cls,
        bank: core_bank.ConceptBank,
        activations: core_activations.Activations,
        masks: Tensor,
        regions: str,
    ) -> io.NodeOutput:
        learner: Any = SUBJECTS[checked_subject(bank).kind]
        better = learner.corrected(bank, activations, masks_of(masks), REGIONS[regions])
        return io.NodeOutput(better, ui=ui.PreviewText(describe_subject(better)))
