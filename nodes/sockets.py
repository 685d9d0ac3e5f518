"""The pack's own socket types, and inputs and outputs that several nodes have alike."""

from collections.abc import Sequence
from typing import Any, get_args

from ..core.settings import OLD_PRESETS
from ..host.schema import io
from ..host.shared.recomputation import Choice
from .pictures import (  # noqa: F401 (nodes take them from here, with the sockets)
    first_only,
    masks_of,
    page_under,
    picture_batch,
    picture_of,
    pictures_under,
    stretched,
    text_under,
)
from .verdicts import (  # noqa: F401 (likewise)
    choice_verdict,
    embeddings_verdict,
    files_verdict,
    first_fault,
    lines_of,
    list_verdict,
    method_verdict,
    preset_verdict,
    prompts_of,
    settings_verdict,
    template_verdict,
)

CATEGORY = "Concept Atelier"

Concepts = io.Custom("CONCEPTS")
ConceptPictures = io.Custom("CONCEPT_PICTURES")
ConceptTokens = io.Custom("CONCEPT_TOKENS")
AttentionCapture = io.Custom("ATTENTION_CAPTURE")
ConceptPrototypes = io.Custom("CONCEPT_PROTOTYPES")
Erasure = io.Custom("ERASURE")
ErasureAttack = io.Custom("ERASURE_ATTACK")
Activations = io.Custom("ACTIVATIONS")
ActivationRecording = io.Custom("ACTIVATION_RECORDING")
ConceptBank = io.Custom("CONCEPT_BANK")
ConceptCodes = io.Custom("CONCEPT_CODES")
ConceptScores = io.Custom("CONCEPT_SCORES")
ConceptHead = io.Custom("CONCEPT_HEAD")
EmbeddingAlignment = io.Custom("EMBEDDING_ALIGNMENT")
ClipVisionOutput = io.Custom("CLIP_VISION_OUTPUT")
"""ComfyUI's own type of pictures as a CLIP_VISION sees them."""
Skill = io.Custom("SKILL")
ConceptVectors = io.Custom("CONCEPT_VECTORS")
ErasureAudit = io.Custom("ERASURE_AUDIT")
HeadOffsets = io.Custom("HEAD_OFFSETS")
Noise = io.Custom("NOISE")
BoundingBoxes = io.Custom("BOUNDING_BOX")
"""ComfyUI's own type of boxes, see ``host/jobs/bounding_boxes.py``; every supported version has it."""

MAX_SEED = 2**64 - 1
OF_A_BATCH = "The node reads the first picture of a batch."
"""What tooltips of IMAGE inputs say; :func:`first_only` says it where there was more than one."""

READS = "atelier_reads"
"""The option of an input from which our scripts read which word stands for which value."""

OLD_CHOICES = "atelier_old_choices"
"""The option of a list from which our scripts read the present names of choices that workflows have saved."""


def model_inputs(use: str) -> list[Any]:
    """MODEL, CLIP and VAE of one model; ``use`` says what the model is for."""
    return [
        io.Model.Input("model", tooltip=use),
        io.Clip.Input("clip", tooltip="The text encoder of that model."),
        io.Vae.Input("vae", tooltip="The autoencoder of that model."),
    ]


def boxes_output() -> Any:
    """The boxes around the concepts that a node finds, as Compose Concepts and ComfyUI's own nodes take them."""
    return BoundingBoxes.Output(
        display_name="BOXES",
        tooltip="The box around each mask, in pixels of the picture, with the concept's name as its description.",
    )


def erasure_inputs(use: str) -> list[Any]:
    """A model before and after an erasure, its CLIP and VAE, and a picture encoder; ``use`` says what that does."""
    return [
        io.Model.Input("model", tooltip="The original model, from which nothing was erased."),
        io.Model.Input("erased_model", tooltip="The MODEL of Erase Concepts, Train Erasure or Load Erasure."),
        io.Clip.Input("clip", tooltip="The text encoder of the original model."),
        io.Vae.Input("vae", tooltip="The autoencoder of that model."),
        io.ClipVision.Input("clip_vision", tooltip=f"{use}, from Load CLIP Vision or Load Lab CLIP Vision."),
    ]


def seed_input(of: str) -> Any:
    """A seed; ``of`` says what of. The page keeps it from run to run, so that nothing is computed twice, until people
    choose otherwise in the control below it."""
    return io.Int.Input(
        "seed", default=0, min=0, max=MAX_SEED, tooltip=of, control_after_generate=io.ControlAfterGenerate.fixed
    )


def text_input(name: str, default: str, tooltip: str, **fields: Any) -> Any:
    """A text or list of several lines."""
    return io.String.Input(name, default=default, multiline=True, tooltip=tooltip, **fields)


def settings_input(tooltip: str) -> Any:
    """Further settings of a method, written as name=value."""
    return io.String.Input("settings", default="", optional=True, advanced=True, tooltip=tooltip)


def keep_every_input() -> Any:
    """How often an unfinished training is saved."""
    return io.Int.Input(
        "keep_every",
        default=50,
        min=0,
        max=1000,
        advanced=True,
        tooltip="Number of updates between two saved states of the training. After a cancel, a run with the same "
        "inputs and the same seed continues from the last saved state. 0 saves nothing.",
        **reads(off=0),
    )


def memory_input(beside: str = "") -> Any:
    """Whether a training saves memory (gradient checkpointing); ``beside`` ends the sentence on what it costs."""
    return io.Combo.Input(
        "save_memory",
        options=list(get_args(Choice)),
        default="automatic",
        optional=True,
        advanced=True,
        tooltip=f"Gradient checkpointing: training takes much less memory and about a third more time{beside}. "
        "automatic: only if a training step would not fit into the free memory.",
    )


def span_inputs(acts: str) -> list[Any]:
    """The part of denoising in which a node acts; ``acts`` says what does: ``the dials act``."""
    how: dict[str, Any] = {"min": 0.0, "max": 1.0, "step": 0.05, "optional": True, "advanced": True}
    first = f"Share of denoising from which {acts}; 0 is the first step."
    last = f"Share of denoising to which {acts}; 1 is the last step."
    return [
        io.Float.Input("start", default=0.0, tooltip=first, **how),
        io.Float.Input("end", default=1.0, tooltip=last, **how),
    ]


def parts_of_input(node: str) -> Any:
    """The ingredient whose parts a node finds or reads."""
    does = "finds" if node.startswith("Find") else "reads"
    return ConceptCodes.Input(
        "parts_of",
        optional=True,
        advanced=True,
        tooltip=f"CONCEPT_CODES of Ingredient Masks, for the same pictures at a later layer. {node} then "
        f"{does} the parts of one ingredient, and only where that ingredient is.",
    )


def preset_input(kind: Any, name: str, unset: float, max: float, tooltip: str, **fields: Any) -> Any:
    """A number for which ``unset``, its default and least value, stands for what the preset says; the page reads it
    so (``web/js/preset_values.js``)."""
    text = f"{tooltip} {unset:g} keeps the preset's value."
    return kind(name, default=unset, min=unset, max=max, tooltip=text, extra_dict={READS: {"preset": unset}}, **fields)


def file_input(folder: str, default: str) -> Any:
    """The name of a file that a node of ours saved in a folder of models."""
    said = f"Name in the folder models/{folder}, with or without .safetensors."
    return io.String.Input("name", default=default, tooltip=said)


def reading_inputs(unset: float) -> list[Any]:
    """How a picture is read by a transformer: blocks and share of noise; ``unset`` as for :func:`preset_input`."""
    return [
        io.String.Input(
            "blocks",
            default="",
            optional=True,
            advanced=True,
            tooltip="For transformers (FLUX, Z-Image, Qwen-Image and others): the blocks that are read, counted from 0 "
            "as they run: 9-18 or 4, 6, 8. all reads every block. Empty takes the default of the model's family. "
            "UNets read the layers of the preset.",
        ),
        preset_input(
            io.Float.Input,
            "noise",
            unset,
            1.0,
            "Share of noise, from 0 to 1, in the picture that the model sees. Transformers take 0.5 unless you say "
            "otherwise.",
            step=0.05,
            optional=True,
            advanced=True,
        ),
    ]


def preset_choice(options: Sequence[str], tooltip: str, optional: bool = False) -> Any:
    """The list of presets. The page puts today's name in place of one that a workflow saved before presets were
    renamed (``web/js/old_presets.js``); :func:`preset_verdict` lets both pass."""
    old = {name: now for name, now in OLD_PRESETS.items() if now in options}
    fields: dict[str, Any] = {"optional": True} if optional else {}
    return io.Combo.Input(
        "preset", options=list(options), default="small", tooltip=tooltip, extra_dict={OLD_CHOICES: old}, **fields
    )


def reads(**words: float) -> dict[str, Any]:
    """Fields of an input whose values ``words`` read as words in the page: ``reads(all=0)``."""
    return {"extra_dict": {READS: words}}


def pair_inputs() -> list[Any]:
    """A picture encoder and the text encoder that was trained with it."""
    return [
        io.ClipVision.Input("clip_vision", tooltip="A picture encoder that shares a space with a text encoder."),
        io.Clip.Input("clip", tooltip="The text encoder that was trained with it; another one is refused."),
    ]
