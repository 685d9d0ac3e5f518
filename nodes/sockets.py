"""The pack's own socket types, and what several nodes say alike."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..core.learn.parts.prompts import check_template
from ..core.messages import listed, shown
from ..core.settings import OLD_PRESETS, preset_name
from ..host.files import folders
from ..host.files.embeddings import missing_in
from ..host.schema import io, ui
from ..host.shared.environment import inside_comfyui
from ..host.shared.picture_sizes import check_range

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

SAME_PROPORTIONS = 0.05
"""How far the proportions of masks and picture may differ without a note: a grid of cells is cut to whole ones."""

READS = "atelier_reads"
"""The option of an input that tells our scripts which value reads as which word."""

OLD_CHOICES = "atelier_old_choices"
"""The option of a list that tells our scripts what choices that workflows have saved are called now."""


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
        tooltip=f"CONCEPT_CODES of Ingredient Masks, of the same pictures at a later layer: {node} then {does} the "
        "parts of one ingredient, and looks nowhere else.",
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


def preset_verdict(preset: str | None, options: Sequence[str]) -> bool | str:
    """What a node's ``validate_inputs`` says of a preset: True, or what is wrong; None (a linked input) passes."""
    if preset is None or (isinstance(preset, str) and preset_name(preset) in options):
        return True
    return f"preset: expected one of {listed(options)}, got {shown(preset)}"


def template_verdict(template: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of a sentence with ``{}`` for concepts; None (a linked input) passes."""
    try:
        check_template("{}" if template is None else template)
    except ValueError as error:
        return f"template: {error}"
    return True


def list_verdict(name: str, text: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of a list that must not be empty; None (a linked input) passes."""
    return text is None or bool(lines_of(text)) or f"{name} is empty; name at least one, per line or with commas"


def embeddings_verdict(**texts: str | None) -> bool | str:
    """What a node's ``validate_inputs`` says of prompts, by the names of inputs: True, or the first embedding
    that is in no folder. None (a linked input) passes.

    The headless runner checks this itself: it sees the whole workflow, and what a run saves is not missing there.
    ComfyUI still runs the outputs that do not need a refused node, so that a second run finds what the first saved.
    """
    given = {name: text for name, text in texts.items() if isinstance(text, str)} if inside_comfyui() else {}
    return next((f"{name}: {said}" for name, text in given.items() for said in missing_in(text)), True)


def files_verdict(kind: str, names: Sequence[str] | None) -> bool | str:
    """What a node's ``validate_inputs`` says of model files of a kind: True, or the first that is not there. None (a
    linked input) passes. In the headless runner a node of the same run may write them; see :func:`embeddings_verdict`.
    """
    try:
        for name in names if names and inside_comfyui() else ():
            folders.current().find_model(kind, name)
    except (OSError, ValueError) as error:
        return str(error)
    return True


def first_fault(*verdicts: bool | str) -> bool | str:
    """The first verdict that is not True, or True."""
    return next((verdict for verdict in verdicts if verdict is not True), True)


def reads(**words: float) -> dict[str, Any]:
    """Fields of an input whose values ``words`` read as words in the page: ``reads(all=0)``."""
    return {"extra_dict": {READS: words}}


def picture_of(image: Tensor) -> Tensor:
    """The first picture of an IMAGE as (1, 3, H, W), see :func:`picture_batch`."""
    return picture_batch(image[:1])


def picture_batch(image: Tensor) -> Tensor:
    """All pictures of an IMAGE (B, H, W, C) as (B, 3, H, W); transparency is left out, grey becomes RGB.

    Raises:
        ValueError: for anything that is no IMAGE of 1, 3 or 4 channels in 0..1.
    """
    if image.ndim != 4 or len(image) == 0 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"an IMAGE must be (pictures, height, width, 1, 3 or 4 channels), got {tuple(image.shape)}; "
            "connect the output of Load Image"
        )
    check_range(image)
    picture = image[..., :3].movedim(-1, 1).float()
    return picture.expand(-1, 3, -1, -1).clone()


def masks_of(mask: Tensor) -> Tensor:
    """The masks of a MASK (N, H, W), which may lack N, or have a channel behind it as some packs write it.

    They are decimal numbers in 0..1, whatever a pack wrote: ticks, whole numbers, or values that go beyond.
    Raises ``ValueError`` for values that are not finite.
    """
    masks = mask.reshape(-1, *mask.shape[-2:]).float()
    if not bool(torch.isfinite(masks).all()):
        raise ValueError("the mask holds NaN or infinite values; expected 0..1")
    return masks.clamp(0, 1)


def stretched(mask: Tensor, image: Tensor) -> str:
    """That masks have other proportions than the pictures of an IMAGE (B, H, W, C); "" where they are alike."""
    (height, width), (rows, columns) = mask.shape[-2:], image.shape[1:3]
    if abs(height * columns - width * rows) <= max(height * columns, width * rows) * SAME_PROPORTIONS:
        return ""
    return f"The masks of {width}x{height} pixels were stretched to the picture of {columns}x{rows}."


def pictures_under(cls: type[io.ComfyNode], *batches: Tensor) -> dict[str, Any]:
    """What a node shows as pictures under it: batches (B, H, W, 3) in 0..1, each of its own size."""
    shown = [ui.PreviewImage(pictures, cls=cls).as_dict() for pictures in batches]
    return {"images": [picture for each in shown for picture in each["images"]]}


def text_under(*lines: str) -> dict[str, Any]:
    """What a node shows as text under it: the lines that are not empty; nothing without any."""
    said = "\n".join(line for line in lines if line)
    return ui.PreviewText(said).as_dict() if said else {}


def first_only(**images: Tensor) -> str:
    """That only the first picture of a batch was read, by the names of inputs; "" where each has one."""
    counts = {name: len(image) for name, image in images.items() if len(image) > 1}
    return " ".join(f"Of the {count} pictures of {name}, the first was read." for name, count in counts.items())


def lines_of(text: str) -> list[str]:
    """The entries of a list written one per line or with commas, without empty ones."""
    return [entry for entry in (part.strip() for part in text.replace("\n", ",").split(",")) if entry]
