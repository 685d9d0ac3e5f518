"""Compose Concepts."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...core import types
from ...core.compose.registry import METHODS
from ...core.messages import shown
from ...core.settings import read_settings
from ...host.adapters import backbone_of, with_composition
from ...host.jobs.composing import composition_of, described
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.compositions import Composed
from ...host.shared.conditioning import to_comfy
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    masks_of,
    preset_choice,
    preset_verdict,
    text_under,
)


class ComposeConcepts(io.ComfyNode):
    """Several concepts in one picture, each in its own region."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        methods = "\n".join(f"{record.title}: {record.help}" for record in METHODS.values())
        return io.Schema(
            node_id="ConceptAtelierComposeConcepts",
            display_name="Compose Concepts",
            category=f"{CATEGORY}/compose",
            description=(
                "Puts several concepts into one picture, each in its own region. Connect MODEL and CONDITIONING to any "
                "sampler. A concept is a few words, a learnt token, or both. A region is a mask, a box or a named "
                "place; without one the concept's place is found by its words while the picture is sampled."
            ),
            search_aliases=["regional prompt", "attention couple", "LoRA-Composer", "T2I-Zero", "areas", "layout"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.Clip.Input("clip", tooltip="The text encoder of that model."),
                io.String.Input(
                    "prompt",
                    default="a photo of a cat and a dog",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the whole picture shows. Name every concept in it.",
                ),
                io.String.Input(
                    "concepts",
                    default="a cat\na dog",
                    multiline=True,
                    tooltip="One concept on each line, in words or as a learnt token: a red cat, <1>.",
                ),
                io.String.Input(
                    "places",
                    default="left\nright",
                    multiline=True,
                    tooltip="A place for each concept, one on each line: left, right, top, bottom, middle, top left, "
                    "left third and so on, or a box of four numbers from 0 to 1: left, top, right, bottom. weight=, "
                    "start= and end= may follow: how strongly the concept counts, and in which share of denoising. "
                    "Empty: places are found by the words.",
                ),
                io.Combo.Input("method", options=list(METHODS), default="attention_couple", tooltip=methods),
                preset_choice(
                    list(next(iter(METHODS.values())).presets),
                    "small: for the lab model; regions count in the first part of denoising, which sets the layout. "
                    "paper: as the paper of the method has it; LoRA-Composer then moves the latent by gradients, too.",
                ),
                io.Mask.Input(
                    "regions", optional=True, tooltip="A mask for each concept, in their order, in place of boxes."
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the texts use."),
                io.String.Input(
                    "settings",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Settings of the method, as name=value, separated by commas; empty keeps the preset's. "
                    "of_prompt=0.5: the share of the prompt inside a region. isolation=0: regions read each other. "
                    "end=0.4: the method acts in the first four tenths of denoising. find_until=0.3, threshold=0.5: "
                    "how long words are read to find places, and how strong they must be. scale=10, refinements=5: how "
                    "far Attend-and-Excite moves the latent, and how often more. guidance=5, renew=true: "
                    "LoRA-Composer moves the latent, and rearranges the first noise.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to the sampler."),
                io.Conditioning.Output(
                    display_name="CONDITIONING", tooltip="Connect this to the positive input of the same sampler."
                ),
                io.Mask.Output(display_name="REGIONS", tooltip="The regions, a mask for each concept that has one."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        prompt: str,
        concepts: str,
        places: str,
        method: str,
        preset: str,
        regions: Tensor | None = None,
        tokens: types.ConceptTokens | None = None,
        settings: str = "",
    ) -> io.NodeOutput:
        backbone_of(model, clip)  # refuses parts of two models
        composer = METHODS[method]
        base = composer.preset(preset)
        values = replace(base, **read_settings(method, lines_of(settings), base))
        texts = [line.strip() for line in concepts.splitlines() if line.strip()]
        boxes = [line for line in places.splitlines() if line.strip()]
        for text in (prompt, *texts):
            check_marks(text, tokens)
        placeholders = tokens.placeholders() if tokens else {}
        masks = None if regions is None else masks_of(regions)
        composition = composition_of(clip, prompt, texts, boxes, masks, placeholders, "texts" in composer.needs)
        named = sum(bool(region.words) for region in composition.regions)
        if "words" in composer.needs and named < composer.least_named:
            least = "a concept" if composer.least_named == 1 else "two concepts"
            raise ValueError(f"{composer.title} needs {least} that the prompt names; {shown(prompt)} names {named}")
        idle = composition.idle
        composed = model if idle else with_composition(model, Composed(composition, composer, values))
        conditioning = composition.prompt if idle else composition.conditioning
        found = [region.mask for region in composition.regions if region.mask is not None]
        drawn = torch.stack(found) if found else torch.zeros(1, 64, 64)
        note = text_under(described(composition, composer, values))
        return io.NodeOutput(composed, to_comfy(conditioning), drawn, ui=note)

    @classmethod
    def validate_inputs(
        cls, preset: str | None = None, prompt: str | None = None, concepts: str | None = None
    ) -> bool | str:
        verdict = preset_verdict(preset, list(next(iter(METHODS.values())).presets))
        named = list_verdict("concepts", concepts)
        return first_fault(verdict, named, embeddings_verdict(prompt=prompt, concepts=concepts))
