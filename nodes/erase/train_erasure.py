"""Train Erasure."""

from typing import Any

from torch import Tensor

from ...core import settings as core_settings
from ...core import types
from ...core.erase.parts.task import TrainingRequest
from ...core.erase.registry import METHODS
from ...host.adapters import at_work, backbone_of, with_erasure, with_text_erasure
from ...host.files.images import from_pil
from ...host.files.unfinished import unfinished
from ...host.jobs.erase.erasing import ErasureReporter
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.recomputation import Choice
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    Erasure,
    embeddings_verdict,
    first_fault,
    keep_every_input,
    lines_of,
    list_verdict,
    memory_input,
    method_verdict,
    model_inputs,
    picture_batch,
    pictures_under,
    preset_choice,
    preset_input,
    preset_verdict,
    reads,
    seed_input,
    settings_input,
    text_input,
    text_under,
)
from .erase_concepts import said_of, settings_of

TRAINED = {name: eraser for name, eraser in METHODS.items() if eraser.trains}
UNSET = {"steps": 0, "rate": 0.0}
"""Input to the value that keeps the preset's."""
FIRST = (
    "For an object try few_shot first, and encode prompts with the CLIP output: on the lab model it left nothing of "
    "three objects, where esd left a third. Where only MODEL may change, try doco. FLUX, Z-Image and other "
    "transformers refuse few_shot and mace_lora: choose esd there."
)
"""What to choose. ``esd`` stays the default: a graph that takes only MODEL would erase nothing with ``few_shot``."""


class TrainErasure(io.ComfyNode):
    """Concepts out of a model, by the methods of the registry that train."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierTrainErasure",
            display_name="Train Erasure",
            category=f"{CATEGORY}/erase",
            description=(
                "Erases concepts by training a small change of the model (ESD, All but One, DoCo, RealEra, MACE) or "
                "of its text encoder (few-shot unlearning), which takes minutes where Erase Concepts takes seconds. "
                "The model draws the pictures that it needs, unless you connect some. The model and text encoder "
                "that you connect are not changed. If you cancel the node and run it again with the same inputs, it "
                "continues from the last state that keep_every saved."
            ),
            search_aliases=[
                "ESD",
                "All but One",
                "few-shot",
                "DoCo",
                "RealEra",
                "MACE",
                "unlearn",
                "concept erasure",
                "forget",
                "fine-tune",
            ],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model to erase concepts from."),
                text_input("concepts", "cat", "What to erase, one per line or separated by commas."),
                text_input(
                    "anchors",
                    "",
                    "What the model draws instead: one anchor for all concepts, or one for each concept in the "
                    "same order. Empty stands for nothing in particular.",
                ),
                text_input(
                    "preserve",
                    "",
                    "What must stay as it is, one per line or separated by commas. Name what is like the concepts. It "
                    "has no effect where retain is 0, as in the preset paper of few_shot and esd: set retain=1 in "
                    "settings.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="Factor on the change once it is trained. 0 changes nothing.",
                ),
                io.Combo.Input(
                    "method",
                    options=list(TRAINED),
                    default="esd",
                    tooltip="\n".join([FIRST, *(f"{eraser.title}: {eraser.help}" for eraser in TRAINED.values())]),
                ),
                preset_choice(
                    list(dict.fromkeys(name for eraser in TRAINED.values() for name in eraser.presets)),
                    "Settings of the method. small: for the lab model and other small latents. small_transformer: for "
                    "the lab transformer alone, where most methods must give more weight to what you preserve. paper: "
                    "the published settings, for pictures of 512 pixels, also on other transformers.",
                ),
                preset_input(
                    io.Int.Input, "steps", UNSET["steps"], 20000, "Number of training steps for each concept."
                ),
                preset_input(
                    io.Float.Input,
                    "learning_rate",
                    UNSET["rate"],
                    1.0,
                    "Learning rate. Lower it if other things suffer.",
                    step=1e-4,
                    round=1e-6,
                ),
                *_progress_inputs(),
                seed_input("Random seed for training."),
                ConceptTokens.Input(
                    "tokens", optional=True, tooltip="Learnt tokens that the lists may name, such as <apple>."
                ),
                settings_input(
                    "Further settings as name=value, separated by commas; empty keeps the preset's. rank=16 "
                    "trains a larger change. layers=text changes only the weights by which the text enters; the preset "
                    "paper of esd and all_but_one has layers=cross, so set layers=text on transformers. layers=all "
                    "changes self-attention too. surgery=1 takes out of every step what goes against the preserve list."
                ),
                memory_input(),
                io.Image.Input(
                    "pictures",
                    optional=True,
                    tooltip="A few pictures for methods that look at some: few-shot unlearning and MACE take 4 or so "
                    "of each concept, DoCo and RealEra some of each anchor; all of the first concept come first. "
                    "Without them the model draws its own.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="The model without the concepts."),
                Erasure.Output(display_name="ERASURE", tooltip="The change itself, for Save Erasure as LoRA."),
                io.Clip.Output(
                    display_name="CLIP",
                    tooltip="The text encoder to encode prompts with: changed by few-shot unlearning, else the one "
                    "that you connected.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        concepts: str,
        anchors: str,
        preserve: str,
        strength: float,
        method: str,
        preset: str,
        steps: int,
        learning_rate: float,
        preview_every: int,
        keep_every: int,
        seed: int,
        tokens: types.ConceptTokens | None = None,
        settings: str = "",
        save_memory: Choice = "automatic",
        pictures: Tensor | None = None,
    ) -> io.NodeOutput:
        check_marks(" ".join((concepts, anchors, preserve)), tokens)
        backbone, eraser = backbone_of(model, clip, vae), METHODS[method]
        given = core_settings.settings_of(eraser, preset, {"steps": steps, "rate": learning_rate}, UNSET)
        chosen = settings_of(eraser, given, settings)
        placeholders = tokens.placeholders() if tokens else None
        drawn = [*lines_of(concepts)[:1], *lines_of(preserve)[:1]]
        report = ErasureReporter(backbone, drawn, chosen.side, preview_every, cls.hidden.unique_id, placeholders)
        request = TrainingRequest(
            seed, report, unfinished(keep_every), None if pictures is None else picture_batch(pictures)
        )
        with at_work(backbone, save_memory):
            erasure = eraser.erase(
                backbone,
                lines_of(concepts),
                lines_of(anchors) or "",
                lines_of(preserve),
                chosen,
                strength,
                placeholders,
                training=request,
            )
        shown = [] if report.preview is None else [from_pil(report.preview)[0][None]]
        under = pictures_under(cls, *shown) | text_under(said_of(backbone, erasure))
        return io.NodeOutput(with_erasure(model, erasure), erasure, with_text_erasure(clip, erasure), ui=under)

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concepts: str | None = None,
        method: str | None = None,
        settings: str | None = None,
        anchors: str | None = None,
        preserve: str | None = None,
    ) -> bool | str:
        known = list(dict.fromkeys(name for eraser in TRAINED.values() for name in eraser.presets))
        return first_fault(
            preset_verdict(preset, known),
            method_verdict(TRAINED, method, preset, settings),
            list_verdict("concepts", concepts),
            embeddings_verdict(concepts=concepts, anchors=anchors, preserve=preserve),
        )


def _progress_inputs() -> list[Any]:
    """What happens while it trains."""
    return [
        io.Int.Input(
            "preview_every",
            default=50,
            min=0,
            max=1000,
            advanced=True,
            tooltip="Number of steps between two previews of the first concept and the first preserved text. Each "
            "takes a few model passes. 0 draws none.",
            **reads(off=0),
        ),
        keep_every_input(),
    ]
