"""Purify Picture."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from ...core import types
from ...core.erase.guards.guard import Guarded
from ...core.erase.guards.regions import REGIONS
from ...core.erase.guards.registry import METHODS
from ...core.inversion import Trajectory
from ...core.settings import preset_name, with_entries
from ...host.adapters import backbone_of
from ...host.jobs.erase.inverting import SCHEDULERS
from ...host.jobs.erase.purifying import Purification, purify_pictures
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.guards import SampledGuard, guarded_concepts
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    first_fault,
    lines_of,
    list_verdict,
    masks_of,
    model_inputs,
    picture_batch,
    preset_choice,
    preset_verdict,
    seed_input,
    settings_input,
    settings_verdict,
    stretched,
    text_input,
    text_under,
)

NONE = "none"
PRESETS = list(next(iter(METHODS.values())).presets)


class PurifyPicture(io.ComfyNode):
    """Pictures without a concept, and otherwise as they were."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierPurifyPicture",
            display_name="Purify Picture",
            category=f"{CATEGORY}/erase",
            description=(
                "Takes concepts out of pictures and keeps the rest. The model before the erasure finds "
                "where a concept is. Noise is added there, and a model from which the concept was erased, "
                "or one with a guard, redraws the region to fit its surroundings. Everything more than "
                "one latent cell away stays as it was, and a picture in which no concept is found is not "
                "changed."
            ),
            search_aliases=["IRECE", "SDEdit", "inpaint", "remove object", "erase", "DiffPure", "purification"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs(
                    "The model that draws: one from which the concepts were erased, or any with a guard (of Guard "
                    "Against Concepts, with method none here)."
                ),
                io.Image.Input("image", tooltip="Pictures to purify; a batch is purified picture by picture."),
                text_input("concepts", "cat", "Words or phrases to take out, one per line or with commas."),
                text_input(
                    "prompt",
                    "",
                    "What may stand in their place, or what the rest of the picture shows. Empty lets the "
                    "model continue the surroundings.",
                ),
                io.Combo.Input(
                    "method",
                    options=[NONE, *METHODS],
                    default=NONE,
                    tooltip="\n".join(
                        (
                            "Guard that keeps the concepts out while the model draws.",
                            "none: the model alone, with its own guard if it has one.",
                            *(f"{guard.title}: {guard.help}" for guard in METHODS.values()),
                        )
                    ),
                ),
                preset_choice(
                    PRESETS,
                    "Settings of the guard, and of how concepts are found. small: for the lab model and other small "
                    "latents. paper: for latents of about 64x64 cells; the guard as its paper has it, and found places "
                    "are widened by 3 cells (spread).",
                ),
                io.Float.Input(
                    "noise",
                    default=0.35,
                    min=0.05,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the noise levels through which the region is redrawn. At 1 it is "
                    "drawn from pure noise; lower values start from the surrounding colours.",
                ),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Sampling steps from noise alone."),
                io.Float.Input(
                    "guidance",
                    default=1.0,
                    min=1.0,
                    max=30.0,
                    step=0.5,
                    tooltip="Guidance (cfg) of the prompt. An empty prompt needs none.",
                ),
                seed_input("Random seed of the noise."),
                io.Model.Input(
                    "original",
                    optional=True,
                    tooltip="The model before anything was erased, which finds the concepts. Without it, "
                    "the model that draws is used, which may no longer know them.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where to draw anew, one mask for each picture or one for all. With a mask, "
                    "the concepts are not searched for.",
                ),
                io.String.Input(
                    "anchors",
                    default="",
                    optional=True,
                    tooltip="What the guard may draw instead: one for all or one for each concept; empty is nothing. "
                    "Where a concept is looked for, it is also compared with its anchor.",
                ),
                io.Boolean.Input(
                    "inverted",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Take the noise around the place from the picture (DDIM inversion), not from the seed.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=list(SCHEDULERS),
                    default="normal",
                    optional=True,
                    advanced=True,
                    tooltip="Scheduler of the noise levels.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that lists and prompt may name."),
                settings_input(
                    "How concepts are found, as name=value, separated by commas. present=0.35: least "
                    "presence at which a concept counts as being in the picture. threshold=0.4: higher "
                    "values give smaller regions. spread=1: by how many latent cells regions are widened. "
                    "draws=4: more draws find concepts more reliably."
                ),
                io.Clip.Input(
                    "original_clip",
                    optional=True,
                    tooltip="The text encoder before anything was erased, by which concepts are found and kept out. "
                    "Connect it where clip was changed (HiRM, few-shot unlearning), which no longer names them.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="IMAGE", tooltip="The purified pictures."),
                io.Mask.Output(display_name="MASK", tooltip="Where they were drawn anew."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        concepts: str,
        prompt: str,
        method: str,
        preset: str,
        noise: float,
        steps: int,
        guidance: float,
        seed: int,
        original: Any = None,
        mask: Tensor | None = None,
        anchors: str = "",
        inverted: bool = False,
        scheduler: str = "normal",
        tokens: types.ConceptTokens | None = None,
        settings: str = "",
        original_clip: Any = None,
    ) -> io.NodeOutput:
        check_marks(" ".join((concepts, anchors, prompt)), tokens)
        backbone, placeholders = backbone_of(model, clip, vae), tokens.placeholders() if tokens else {}
        finding = with_entries("Purify Picture", REGIONS[preset_name(preset)], lines_of(settings))
        asking = backbone if original_clip is None else backbone_of(model, original_clip, vae)
        named = guarded_concepts(asking, lines_of(concepts), lines_of(anchors) or "", placeholders, 1.0)
        texts = [backbone.encode_text([text], placeholders) for text in (prompt, "")]
        asked = Purification(
            model,
            Trajectory(backbone, texts[0], texts[1], guidance),
            picture_batch(image),
            concepts=named,
            masks=None if mask is None else masks_of(mask),
            settings=finding,
            guard=_guard(method, preset, named, original, seed, noise),
            original=original,
            noise=noise,
            steps=steps,
            scheduler=scheduler,
            inverted=inverted,
            seed=seed,
        )
        purified = purify_pictures(asked, start_progress(cls.hidden.unique_id))
        note = text_under(purified.said, "" if mask is None else stretched(mask, image))
        return io.NodeOutput(purified.pictures.movedim(1, -1), purified.masks, ui=note)

    @classmethod
    def validate_inputs(
        cls,
        preset: str | None = None,
        concepts: str | None = None,
        prompt: str | None = None,
        anchors: str | None = None,
        settings: str | None = None,
    ) -> bool | str:
        return first_fault(
            preset_verdict(preset, PRESETS),
            settings_verdict("Purify Picture", REGIONS, preset, settings),
            list_verdict("concepts", concepts),
            embeddings_verdict(concepts=concepts, prompt=prompt, anchors=anchors),
        )


def _guard(
    method: str, preset: str, named: tuple[Guarded, ...], original: Any, seed: int, noise: float
) -> SampledGuard | None:
    """What keeps the concepts out while the model draws; None without a method. A guard that ends at a share of
    denoising ends at that share of the steps that are taken, since all of these may lie behind it."""
    if method == NONE:
        return None
    settings = METHODS[method].preset(preset)
    settings = replace(settings, end=1 - noise * (1 - settings.end))
    return SampledGuard(METHODS[method], named, settings, original=original, seed=seed)
