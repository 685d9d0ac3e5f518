"""Compose Concepts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core import types
from ...core.compose.composer import Composer
from ...core.compose.composition import Composition
from ...core.compose.registry import METHODS
from ...core.messages import shown
from ...core.settings import with_entries
from ...host.adapters import backbone_of, scaled_latent
from ...host.files import folders
from ...host.files.model_files import fingerprint
from ...host.jobs.compose.composing import (
    adapters_of,
    check_one_each,
    composed_parts,
    composition_of,
    described,
    given_regions,
    lora_and_strength,
    read_place,
    reads_jointly,
)
from ...host.jobs.compose.regions import given_places
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ..sockets import (
    CATEGORY,
    BoundingBoxes,
    ConceptTokens,
    embeddings_verdict,
    files_verdict,
    first_fault,
    lines_of,
    list_verdict,
    masks_of,
    method_verdict,
    preset_choice,
    preset_verdict,
    prompts_of,
    settings_input,
    text_input,
    text_under,
)


class ComposeConcepts(io.ComfyNode):
    """Several concepts in one picture, each in its own region."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        methods = "\n".join(f"{record.title}: {record.help} {record.costs}" for record in METHODS.values())
        return io.Schema(
            node_id="ConceptAtelierComposeConcepts",
            display_name="Compose Concepts",
            category=f"{CATEGORY}/compose",
            description=(
                "Puts several concepts into one picture, each in its own region. Connect MODEL and CONDITIONING to any "
                "sampler. A concept is a few words, a learnt token, or both. A region is a mask, a box that you draw "
                "on the node, or a named place; without one the concept's place is found by its words while the "
                "picture is sampled."
            ),
            search_aliases=[
                "regional prompt",
                "attention couple",
                "LoRA-Composer",
                "Concept Conductor",
                "T2I-Zero",
                "areas",
                "layout",
            ],
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
                text_input(
                    "concepts",
                    "a cat\na dog",
                    "One concept on each line, in words or as a learnt token: a red cat, <1>.",
                ),
                text_input(
                    "places",
                    "left\nright",
                    "A place for each concept, one on each line: left, right, top, bottom, middle, top "
                    "left, left third and so on, or a box of four numbers from 0 to 1: left, top, right, "
                    "bottom. A box of about the thing's own size draws it best; in a larger one it may stand "
                    "twice. Boxes that you draw on the node are written here too. found: the place is "
                    "found from the concept's words. weight=, start= and end= may follow: how strongly "
                    "the concept counts, and in which part of denoising. Empty: all places are found from "
                    "the words.",
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
                settings_input(
                    "Settings of the method, as name=value, separated by commas; empty keeps the "
                    "preset's. of_prompt=0.5: the share of the prompt inside a region. isolation=0: "
                    "regions read each other. end=0.4: the method acts in the first four tenths of "
                    "denoising. find_until=0.3, threshold=0.5: for how long words are read to find "
                    "places, and how strong their attention must be. scale=10, refinements=5: how far "
                    "Attend-and-Excite moves the latent, and how many extra moves it may make. "
                    "guidance=5, renew=true: LoRA-Composer moves the latent, and rearranges the initial "
                    "noise. layout=0: Concept Conductor does not move the latent; refine_until=0: its "
                    "masks stay as they are."
                ),
                BoundingBoxes.Input(
                    "bounding_boxes",
                    optional=True,
                    extra_dict={"forceInput": True},
                    tooltip="A box for each concept, in their order, in place of those in places: from Create Bounding "
                    "Boxes or from a node that finds things. Set width and height to the picture that they lie in.",
                ),
                io.Int.Input(
                    "width",
                    default=512,
                    min=16,
                    max=16384,
                    step=8,
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "Width of the picture in pixels, for the proportions of the canvas and for "
                        "boxes given or returned in pixels."
                    ),
                ),
                io.Int.Input(
                    "height",
                    default=512,
                    min=16,
                    max=16384,
                    step=8,
                    optional=True,
                    advanced=True,
                    tooltip="Height of the picture in pixels.",
                ),
                io.String.Input(
                    "loras",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="A LoRA for each concept, separated by commas: its name in the loras folder, "
                    "then strength= if wanted; write none for a concept without a LoRA. Each acts "
                    "in the region of its concept alone: in attention, in feed-forward layers and "
                    "convolutions, and where its text is encoded. The node says what else a file "
                    "changes, such as time embeddings, which is left out.",
                ),
                io.Latent.Input(
                    "reference",
                    optional=True,
                    tooltip="For Concept Conductor: a picture from VAE Encode whose layout the new "
                    "picture takes over. It must have the size of the new picture; connect masks "
                    "of the things in it as regions.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="Connect this MODEL to the sampler."),
                io.Conditioning.Output(
                    display_name="CONDITIONING", tooltip="Connect this to the positive input of the same sampler."
                ),
                io.Mask.Output(
                    display_name="REGIONS",
                    tooltip="The regions, a mask for each concept, in their order; empty for a concept whose place is "
                    "found while sampling, which Read Found Regions gives.",
                ),
                BoundingBoxes.Output(
                    display_name="BOXES",
                    tooltip="The boxes around these regions, in pixels, with the concepts as their descriptions.",
                ),
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
        bounding_boxes: Any = None,
        width: int = 512,
        height: int = 512,
        loras: str = "",
        reference: Mapping[str, Any] | None = None,
    ) -> io.NodeOutput:
        backbone_of(model, clip)  # refuses parts of two models
        composer = METHODS[method]
        values = with_entries(method, composer.preset(preset), lines_of(settings))
        texts = prompts_of(concepts)
        for text in (prompt, *texts):
            check_marks(text, tokens)
        placeholders = tokens.placeholders() if tokens else {}
        masks = given_regions(None if regions is None else masks_of(regions), bounding_boxes, width, height)
        adapters = adapters_of(model, clip, _loras(loras, composer), len(texts))
        composition = composition_of(
            clip, prompt, texts, prompts_of(places), masks, placeholders, composer.needs, adapters
        )
        composition = replace(composition, joint=reads_jointly(model))
        if reference is not None:
            composition = _following(composition, reference, model, composer)
        _check_named(composition, prompt, composer)
        composed, conditioning = composed_parts(model, composition, composer, values)
        drawn, elements = given_places(composition, width, height)
        note = text_under(described(composition, composer, values), *dict.fromkeys(one.left_out for one in adapters))
        return io.NodeOutput(composed, conditioning, drawn, elements, ui=note)

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        prompt: str | None = None,
        concepts: str | None = None,
        places: str | None = None,
        loras: str | None = None,
        method: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(next(iter(METHODS.values())).presets)),
            list_verdict("concepts", concepts),
            _places_verdict(places, concepts),
            method_verdict(METHODS, method, preset, settings),
            files_verdict("loras", _files(loras)),
            embeddings_verdict(prompt=prompt, concepts=concepts),
        )

    @classmethod
    def fingerprint_inputs(cls, loras: str | None = None, **_: Any) -> str:
        return fingerprint(folders.current(), "loras", None if loras is None else _files(loras))


def _places_verdict(places: str | None, concepts: str | None) -> bool | str:
    """What is wrong with the lines of places, before anything that comes earlier is learnt; None (linked) passes."""
    lines = prompts_of(places or "")
    try:
        if concepts is not None:
            check_one_each(lines, prompts_of(concepts), "place")
        for line in lines:
            read_place(line)
    except ValueError as error:
        return f"places: {error}"
    return True


def _files(loras: str | None) -> list[str]:
    """The files that lines of LoRAs name."""
    read = [lora_and_strength(line)[0] for line in lines_of(loras or "")]
    return [name for name in read if name is not None]


def _loras(loras: str, composer: Composer[Any]) -> list[str]:
    """The lines of LoRAs. Raises ``ValueError`` for a method that cannot keep them to regions."""
    lines = lines_of(loras)
    if lines and (composer.areas is not None or not {"texts", "branches"} & set(composer.needs)):
        raise ValueError(f"{composer.title} keeps no LoRA to the region of its concept; empty loras")
    return lines


def _following(
    composition: Composition, reference: Mapping[str, Any], model: Any, composer: Composer[Any]
) -> Composition:
    """The composition in the layout of a picture. Raises ``ValueError`` for a method that follows none."""
    if not composer.follows_reference:
        raise ValueError(f"{composer.title} follows no reference picture; disconnect reference")
    return replace(composition, reference=scaled_latent(model, reference)[:1])


def _check_named(composition: Composition, prompt: str, composer: Composer[Any]) -> None:
    """Raises ``ValueError`` where a method that reads the prompt's words finds too few concepts among them."""
    named = sum(bool(composition.regions[number].words) for number in composition.things)
    if "words" in composer.needs and named < composer.least_named:
        least = "a concept" if composer.least_named == 1 else "two concepts"
        raise ValueError(f"{composer.title} needs {least} that the prompt names; {shown(prompt)} names {named}")
