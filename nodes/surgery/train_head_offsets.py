"""Train Head Offsets."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core.settings import preset_name, with_entries
from ...core.surgery.heads import offsets as core_offsets
from ...core.surgery.heads.denoising_loss import Captioned
from ...core.surgery.heads.in_force import Where
from ...core.surgery.heads.offset_settings import PRESETS
from ...core.surgery.heads.training import train_offsets
from ...host.adapters import at_work, backbone_of
from ...host.files.unfinished import unfinished
from ...host.jobs.surgery.calibrating import fitted_latents
from ...host.jobs.surgery.heads import heads_map, heads_said
from ...host.schema import io
from ...host.shared.progress import start_progress
from ...host.shared.recomputation import Choice
from ..sockets import (
    CATEGORY,
    HeadOffsets,
    embeddings_verdict,
    first_fault,
    keep_every_input,
    lines_of,
    list_verdict,
    memory_input,
    model_inputs,
    page_under,
    picture_batch,
    preset_choice,
    preset_input,
    preset_verdict,
    prompts_of,
    seed_input,
    settings_input,
    settings_verdict,
    text_input,
)
from .head_offsets import heads_of_input

MOST_PICTURES = 64
UNSET = {"heads": 0, "steps": 0, "rate": 0.0}
"""Setting to the value that keeps the preset's."""


class TrainHeadOffsets(io.ComfyNode):
    """Offsets of a few attention heads, trained on pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierTrainHeadOffsets",
            display_name="Train Head Offsets",
            category=f"{CATEGORY}/surgery",
            description=(
                "Trains a vector for each of a few attention heads on pictures of a concept, and nothing else of the "
                "model. It first finds the heads that matter, unless you connect the OFFSETS of Scout Heads. The "
                "result has a few hundred parameters. Apply Head Offsets puts it into the model. If you cancel the "
                "node and run it again with the same inputs, it continues where it stopped."
            ),
            search_aliases=["LoFiT", "head offset", "tiny LoRA", "fine-tune", "bias tuning", "train"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model whose heads get offsets. It is not changed."),
                io.Image.Input(
                    "pictures", tooltip=f"1 to {MOST_PICTURES} pictures of what the offsets are to add to the model."
                ),
                text_input(
                    "prompts",
                    "a photo of a cat",
                    "What the pictures show: one prompt for all pictures, or one per line for each.",
                ),
                io.String.Input("concept", default="cat", tooltip="What the offsets are called."),
                preset_choice(list(PRESETS), "small: for the lab model. paper: 32 heads, and pictures of 512 pixels."),
                preset_input(io.Int.Input, "heads", UNSET["heads"], 4096, "Number of heads that get an offset."),
                preset_input(io.Int.Input, "steps", UNSET["steps"], 20000, "Number of steps that train the offsets."),
                preset_input(
                    io.Float.Input,
                    "learning_rate",
                    UNSET["rate"],
                    1.0,
                    "Learning rate of the offsets.",
                    step=1e-3,
                    round=1e-6,
                ),
                keep_every_input(),
                seed_input("Random seed for training."),
                HeadOffsets.Input(
                    "offsets",
                    optional=True,
                    tooltip="From Scout Heads: its best heads are trained, and no steps are spent on choosing them. "
                    "heads_of is not used then.",
                ),
                heads_of_input("get offsets"),
                settings_input(
                    "Further settings as name=value, separated by commas; empty keeps the preset's: "
                    "choosing=100 steps choose the heads, penalty=0.001 makes their scales smaller, batch=8, side=768."
                ),
                memory_input(),
            ],
            outputs=[
                HeadOffsets.Output(display_name="OFFSETS", tooltip="For Apply Head Offsets, with strength 1."),
                io.Image.Output(display_name="MAP", tooltip="Layers and heads; those with offsets are framed."),
                io.String.Output(display_name="REPORT", tooltip="The best heads in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        pictures: Tensor,
        prompts: str,
        concept: str,
        preset: str,
        heads: int,
        steps: int,
        learning_rate: float,
        keep_every: int,
        seed: int,
        offsets: core_offsets.HeadOffsets | None = None,
        heads_of: Where = "denoiser",
        settings: str = "",
        save_memory: Choice = "automatic",
    ) -> io.NodeOutput:
        how = PRESETS[preset_name(preset)]
        given: dict[str, Any] = {"heads": heads, "steps": steps, "rate": learning_rate}
        how = replace(how, **{name: value for name, value in given.items() if value != UNSET[name]})
        how = with_entries("Train Head Offsets", how, lines_of(settings))
        batch, texts = picture_batch(pictures), prompts_of(prompts)
        _check_pictures(len(batch), len(texts))
        backbone, progress = backbone_of(model, clip, vae), start_progress(cls.hidden.unique_id)
        with at_work(backbone, save_memory):
            latents = fitted_latents(backbone, batch, how.side)
            shown = Captioned(latents, texts if len(texts) > 1 else texts * len(batch))
            store = unfinished(keep_every)
            found = train_offsets(backbone, concept.strip(), shown, how, seed, heads_of, offsets, store, progress)
        page, report = heads_map(found, how.heads), heads_said(found, how.heads)
        return io.NodeOutput(found, page, report, ui=page_under(cls, page, report))

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        prompts: str | None = None,
        concept: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Train Head Offsets", PRESETS, preset, settings),
            list_verdict("prompts", prompts),
            list_verdict("concept", concept),
            embeddings_verdict(prompts=prompts),
        )


def _check_pictures(pictures: int, prompts: int) -> None:
    if pictures > MOST_PICTURES:
        raise ValueError(f"head offsets are trained on at most {MOST_PICTURES} pictures, got {pictures}")
    if prompts not in (1, pictures):
        raise ValueError(f"expected one prompt, or one for each of the {pictures} pictures, got {prompts} lines")
