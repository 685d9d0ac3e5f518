"""Calibrate Skill."""

from typing import Any

from torch import Tensor

from ...core.settings import preset_name, with_entries
from ...core.surgery.calibration import LEAST_PICTURES, MOST_PICTURES, PRESETS
from ...host.adapters import with_skill
from ...host.jobs.surgery.calibrating import calibrated_skill, calibration_said
from ...host.jobs.surgery.reports import skill_said
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    Skill,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    model_inputs,
    picture_batch,
    preset_choice,
    preset_verdict,
    prompts_of,
    seed_input,
    settings_input,
    settings_verdict,
    text_input,
    text_under,
)


class CalibrateSkill(io.ComfyNode):
    """The parameters of a fine-tune that pictures of its skill need."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierCalibrateSkill",
            display_name="Calibrate Skill",
            category=f"{CATEGORY}/surgery",
            description=(
                "Finds the parameters of a fine-tune that matter for a few pictures of what it learnt, "
                "whereas Localize Skill takes those that changed most. A mask over the parameters is "
                "trained on the pictures; those that contribute little are left out. Neither model is "
                "changed."
            ),
            search_aliases=["Localize-and-Stitch", "calibrated mask", "sparse LoRA", "train mask", "prune fine-tune"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that the fine-tune was made from."),
                io.Model.Input(
                    "tuned_model", tooltip="The fine-tune: another checkpoint, or the MODEL of a LoRA loader."
                ),
                io.Image.Input(
                    "pictures",
                    tooltip=f"{LEAST_PICTURES} to {MOST_PICTURES} pictures that show what the fine-tune learnt, such "
                    "as those it was trained on.",
                ),
                text_input(
                    "prompts",
                    "a photo of a cat",
                    "What the pictures show, with the trigger word if there is one: one prompt for all "
                    "pictures, or one per line for each.",
                ),
                io.Float.Input(
                    "share",
                    default=5.0,
                    min=0.01,
                    max=100.0,
                    step=0.1,
                    tooltip="Percentage of the parameters to start from, counted in the weights that the "
                    "fine-tune changed. Training may add others and leave some out.",
                ),
                preset_choice(
                    list(PRESETS),
                    "small: for the lab model. paper: pictures of 512 pixels, and masks that are pushed to either end.",
                ),
                seed_input("Random seed of the noise that the pictures are read at."),
                io.Clip.Input(
                    "tuned_clip",
                    optional=True,
                    tooltip="The text encoder of the fine-tune, if it changed that too. Its parameters are taken as "
                    "Localize Skill takes them.",
                ),
                settings_input(
                    "Settings as name=value, separated by commas; empty keeps the preset's: penalty=1 "
                    "leaves out more parameters, aim=binarise does not aim for fewer, goal=fine-tune "
                    "preserves what the fine-tune predicts for the pictures rather than how well it "
                    "denoises them, wider=4 lets more parameters take part, steps=400, side=768."
                ),
            ],
            outputs=[
                Skill.Output(display_name="SKILL", tooltip="For the other nodes of this group."),
                io.Model.Output(display_name="MODEL", tooltip="The model with the skill alone."),
                io.Clip.Output(display_name="CLIP", tooltip="The text encoder with the skill."),
                io.String.Output(display_name="REPORT", tooltip="What the first choice and the trained one bring."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        tuned_model: Any,
        pictures: Tensor,
        prompts: str,
        share: float,
        preset: str,
        seed: int,
        tuned_clip: Any = None,
        settings: str = "",
    ) -> io.NodeOutput:
        how = PRESETS[preset_name(preset)]
        how = with_entries("Calibrate Skill", how, lines_of(settings))
        done = calibrated_skill(
            (model, clip, vae),
            (tuned_model, tuned_clip),
            picture_batch(pictures),
            prompts_of(prompts),
            share / 100,
            how,
            seed,
            start_progress(cls.hidden.unique_id),
        )
        report = f"{skill_said(done.skill)}.\n{calibration_said(done)}"
        return io.NodeOutput(done.skill, *with_skill(model, clip, done.skill), report, ui=text_under(report))

    @classmethod
    def validate_inputs(
        cls, preset: str | None = None, prompts: str | None = None, settings: str | None = None
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, list(PRESETS)),
            settings_verdict("Calibrate Skill", PRESETS, preset, settings),
            list_verdict("prompts", prompts),
            embeddings_verdict(prompts=prompts),
        )
