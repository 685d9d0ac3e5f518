"""Erase Concepts, Save Erasure as LoRA."""

from collections.abc import Mapping
from typing import Any

from ...core import settings as core_settings
from ...core import types
from ...core.erase.parts.sizes import relative_changes, relative_text_changes
from ...core.erase.registry import METHODS
from ...core.files import lora_tensors
from ...host.adapters import at_work, backbone_of, with_erasure, with_text_erasure
from ...host.jobs.erase.erasure_words import describe_erasure, describe_file
from ...host.jobs.prompts import check_marks
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..model_files import SavesModelFile, name_input, saved_text
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    Erasure,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    method_verdict,
    preset_choice,
    preset_verdict,
    settings_input,
    text_input,
)

QUICK = {name: eraser for name, eraser in METHODS.items() if not eraser.trains}


class EraseConcepts(io.ComfyNode):
    """Concepts out of a model, by the methods of the registry."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierEraseConcepts",
            display_name="Erase Concepts",
            category=f"{CATEGORY}/erase",
            description=(
                "Makes the model read each concept as something else (its anchor), or as nothing. It takes seconds and "
                "needs no training: most methods change the text projections of a UNet or diffusion transformer in "
                "closed form (UCE, WACV 2024, and others); HiRM changes the text encoder. The "
                "change is a patch on a copy: bypass the node, and the model is as it was."
            ),
            search_aliases=[
                "UCE",
                "RECE",
                "SPEED",
                "MACE",
                "RealEra",
                "HiRM",
                "unlearn",
                "remove concept",
                "concept erasure",
                "forget",
            ],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model to erase concepts from."),
                io.Clip.Input("clip", tooltip="The text encoder that prompts are encoded with."),
                text_input(
                    "concepts",
                    "cat, kitty",
                    "What to erase, one per line or separated by commas. Erasing a word does not erase "
                    "its synonyms; list them too.",
                ),
                text_input(
                    "anchors",
                    "",
                    "What the model reads instead: one anchor for all concepts, or one for each concept "
                    "in the same order. Empty stands for the empty prompt.",
                ),
                text_input("preserve", "", "What must stay as it is, one per line or separated by commas."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Factor on the change. 0 changes nothing, 1 erases, more erases harder, and "
                    "negative values amplify the concept.",
                ),
                preset_choice(
                    preset_names(),
                    "small: for the lab model; changes all positions from the concept to the end of the "
                    "text, averaged over a few sentences. paper: as the paper of the method has it; UCE "
                    "changes only the last token of the concept then, which is gentler.",
                ),
                *_advanced_inputs(),
                ConceptTokens.Input(
                    "tokens", optional=True, tooltip="Learnt tokens that the lists may name, such as <apple>."
                ),
                io.Combo.Input(
                    "method",
                    options=list(QUICK),
                    default="uce",
                    optional=True,
                    advanced=True,
                    tooltip="\n".join(f"{eraser.title}: {eraser.help}" for eraser in QUICK.values()),
                ),
                settings_input(
                    "Further settings of the method as name=value, separated by commas; empty keeps the "
                    "preset's. RECE: rounds=2 looks twice for what still evokes a concept. SPEED: "
                    "a higher threshold protects the preserve list less (small has 0.003, paper 0.1). "
                    "RealEra: inside=0.9 also erases words whose cosine with a concept is at least 0.9, "
                    "related=4 at most four of them per concept. HiRM: retain=100 holds other texts more "
                    "firmly, steps=120 erases more."
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model without the concepts."),
                Erasure.Output(display_name="ERASURE", tooltip="The change itself, for Save Erasure as LoRA."),
                io.Clip.Output(
                    display_name="CLIP",
                    tooltip="The text encoder to encode prompts with: changed by methods such as HiRM, else the one "
                    "that you connected.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        concepts: str,
        anchors: str,
        preserve: str,
        strength: float,
        preset: str,
        tokens: types.ConceptTokens | None = None,
        method: str = "uce",
        settings: str = "",
        **inputs: Any,
    ) -> io.NodeOutput:
        check_marks(" ".join((concepts, anchors, preserve)), tokens)
        backbone = backbone_of(model=model, clip=clip)
        eraser = METHODS[method]
        with at_work(backbone):
            erasure = eraser.erase(
                backbone,
                lines_of(concepts),
                lines_of(anchors) or "",
                lines_of(preserve),
                settings_of(eraser, core_settings.settings_of(eraser, preset, inputs, DEFAULTS), settings),
                strength,
                tokens.placeholders() if tokens else None,
                start_progress(cls.hidden.unique_id),
            )
        return erased(model, clip, backbone, erasure)

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concepts: str | None = None,
        anchors: str | None = None,
        preserve: str | None = None,
        method: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, preset_names()),
            method_verdict(QUICK, method, preset, settings),
            list_verdict("concepts", concepts),
            embeddings_verdict(concepts=concepts, anchors=anchors, preserve=preserve),
        )


def erased(model: Any, clip: Any, backbone: Any, erasure: types.Erasure) -> io.NodeOutput:
    """MODEL, ERASURE and CLIP with an erasure in force, and what is said of it; CLIP may be None."""
    said = ui.PreviewText(said_of(backbone, erasure))
    return io.NodeOutput(with_erasure(model, erasure), erasure, with_text_erasure(clip, erasure), ui=said)


def said_of(backbone: Any, erasure: types.Erasure) -> str:
    """What an erasure does, and how far it moves the weights of its model."""
    changes = relative_changes(erasure, backbone) if erasure.factors else {}
    text_changes = relative_text_changes(erasure, backbone.text_weights()) if erasure.text else {}
    return describe_erasure(erasure, changes, text_changes)


def preset_names() -> list[str]:
    """The presets of the methods of this node, each once."""
    return list(dict.fromkeys(name for eraser in QUICK.values() for name in eraser.presets))


def settings_of(eraser: Any, chosen: Any, written: str) -> Any:
    """A method's settings with what is written in the input ``settings``; raises as
    :func:`~...core.settings.read_settings` does."""
    return core_settings.with_entries(eraser.name, chosen, lines_of(written))


DEFAULTS: Mapping[str, Any] = {
    "damping": 0.5,
    "preserve_scale": 1.0,
    "projections": "both",
}
"""Of the inputs that only some methods know, or for which their presets have values of their own."""


def _advanced_inputs() -> list[Any]:
    """Settings of the solution."""
    return [
        io.Float.Input(
            "damping",
            default=DEFAULTS["damping"],
            min=0.001,
            max=1000.0,
            step=0.1,
            advanced=True,
            tooltip="Weight of staying close to the original model. Larger values are gentler. Left at "
            "0.5, the preset decides.",
        ),
        io.Float.Input(
            "preserve_scale",
            default=DEFAULTS["preserve_scale"],
            min=0.0,
            max=100.0,
            step=0.1,
            advanced=True,
            tooltip="Weight of the preserve list. Left at 1, the preset decides.",
        ),
        io.Combo.Input(
            "projections",
            options=["both", "key", "value"],
            default=DEFAULTS["projections"],
            advanced=True,
            tooltip="Change the keys (where the model looks), the values (what it draws), or both. Left "
            "at both, the preset decides. Most transformers (FLUX, Qwen-Image and "
            "others) read their text through one layer for keys and values together; that layer "
            "is changed whichever you choose.",
        ),
    ]


class SaveErasureAsLora(SavesModelFile):
    """An erasure as an ordinary LoRA file."""

    KIND = "loras"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierSaveErasureAsLora",
            display_name="Save Erasure as LoRA",
            category=f"{CATEGORY}/erase",
            description=(
                "Writes the change that Erase Concepts or Train Erasure made to the loras folder. The stock LoRA "
                "loader applies it with the same effect, and so does diffusers for models of Stable Diffusion. "
                "Load Erasure reads it with its lists. A change too large for a LoRA is written as "
                "differences (.diff), which diffusers does not read. A file of this name that existed "
                "before the run is replaced; if the file was written during the run, the next free name "
                "is used."
            ),
            search_aliases=["export erasure", "save lora"],
            is_output_node=True,
            inputs=[
                Erasure.Input("erasure", tooltip="The erasure of either node. The file includes its strength."),
                name_input("atelier/erased"),
            ],
            outputs=[io.String.Output(display_name="NAME", tooltip="The name of the file for a LoRA loader.")],
        )

    @classmethod
    def execute(cls, erasure: types.Erasure, name: str) -> io.NodeOutput:
        saved = cls.write(name, lora_tensors(erasure))
        said = f"{saved.path}: {describe_file(erasure)}"
        return io.NodeOutput(f"{saved.name}.safetensors", ui=saved_text(said, saved))
