"""Edit by Words."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.attribute.edit_by_words import WordEdit, WordEditSettings, change_in, edit_by_words
from ...core.messages import shown
from ...host.adapters import backbone_of
from ...host.jobs.prompts import check_marks
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    embeddings_verdict,
    lines_of,
    masks_of,
    model_inputs,
    seed_input,
    stretched,
    text_input,
    text_under,
)


class EditByWords(io.ComfyNode):
    """A picture changed by its words, with the layout kept (Prompt-to-Prompt)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        standard = WordEditSettings()
        return io.Schema(
            node_id="ConceptAtelierEditByWords",
            display_name="Edit by Words",
            category=f"{CATEGORY}/attribute",
            description=(
                "Draws a prompt, and the same picture with other words: a word exchanged, words added or removed, or "
                "the weight of a word changed. The layout stays, because the second picture takes the attention of the "
                "first. The node says how much the picture changed where the changed words are, and elsewhere: a heat "
                "map that is right predicts where a change shows. It does the same for masks that you connect. It "
                "draws both pictures itself, by DDIM."
            ),
            search_aliases=["Prompt-to-Prompt", "P2P", "attention control", "prompt edit", "word weight"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that draws. It must have cross-attention, as Stable Diffusion has."),
                io.String.Input(
                    "prompt", default="a photo of a cat", multiline=True, tooltip="What the first picture shows."
                ),
                text_input(
                    "edited_prompt", "a photo of a dog", "What the second picture shows. Change as little as possible."
                ),
                io.String.Input(
                    "weights",
                    default="",
                    tooltip="Words of the edited prompt with factors on their attention, separated by commas: cat=0.5, "
                    "blue=2. 1 changes nothing; from -2 to 5 is useful.",
                ),
                io.String.Input("negative", default="", tooltip="What guidance leads away from, for both pictures."),
                io.Int.Input(
                    "width", default=512, min=64, max=4096, step=8, tooltip="Width of the pictures in pixels."
                ),
                io.Int.Input("height", default=512, min=64, max=4096, step=8, tooltip="Height in pixels."),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Steps of DDIM, of both pictures."),
                io.Float.Input(
                    "guidance",
                    default=7.0,
                    min=1.0,
                    max=30.0,
                    step=0.5,
                    tooltip="How closely the pictures follow their prompts.",
                ),
                seed_input("Random seed for the noise, which both pictures start from."),
                io.Float.Input(
                    "cross_until",
                    default=standard.cross_until,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Share of denoising during which the words keep the cross-attention of the "
                    "first picture. Lower values let shapes change.",
                ),
                io.Float.Input(
                    "self_until",
                    default=standard.self_until,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Share of denoising during which the self-attention of the first picture is "
                    "kept. Higher values hold the layout more firmly.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompts use."),
                io.Mask.Input(
                    "masks",
                    optional=True,
                    tooltip="Maps or masks to test, such as the heat map of the changed word. The node says for each "
                    "how much the picture changed inside and outside. Soft masks weigh the pixels.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="BEFORE", tooltip="The picture of the prompt."),
                io.Image.Output(display_name="AFTER", tooltip="The edited picture."),
                io.Mask.Output(display_name="REGION", tooltip="Where the changed words are."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        prompt: str,
        edited_prompt: str,
        weights: str,
        negative: str,
        width: int,
        height: int,
        steps: int,
        guidance: float,
        seed: int,
        cross_until: float,
        self_until: float,
        tokens: types.ConceptTokens | None = None,
        masks: Tensor | None = None,
    ) -> io.NodeOutput:
        for text in (prompt, edited_prompt):
            check_marks(text, tokens)
        backbone = backbone_of(model, clip, vae)
        cell = backbone.latent_downscale
        found = edit_by_words(
            backbone,
            prompt,
            edited_prompt,
            read_weights(weights),
            WordEditSettings(cross_until=cross_until, self_until=self_until),
            negative=negative,
            latent_size=(height // cell, width // cell),
            steps=steps,
            guidance=guidance,
            seed=seed % 2**63,
            placeholders=tokens.placeholders() if tokens else {},
            on_step=start_progress(cls.hidden.unique_id),
        )
        before, after = (one.movedim(1, -1).float().cpu() for one in (found.before, found.after))
        region = found.region.float()[None].cpu()
        shown_under = ui.PreviewImage(after, cls=cls).as_dict()
        shown_under |= text_under(
            f"Mean change of the picture: {found.inside:.3f} where the changed words are, {found.outside:.3f} "
            "elsewhere.",
            *([] if masks is None else described(found, masks_of(masks))),
            "" if masks is None else stretched(masks, after),
        )
        return io.NodeOutput(before, after, region, ui=shown_under)

    @classmethod
    def validate_inputs(
        cls, prompt: str | None = None, edited_prompt: str | None = None, negative: str | None = None
    ) -> bool | str:
        return embeddings_verdict(prompt=prompt, edited_prompt=edited_prompt, negative=negative)


def described(found: WordEdit, masks: Tensor) -> list[str]:
    """How much changed inside and outside of each of N masks (N, h, w) in 0..1, for people."""
    changes = [change_in(found.before, found.after, mask) for mask in masks]
    return [
        f"Mask {number}: {inside:.3f} inside, {outside:.3f} outside."
        for number, (inside, outside) in enumerate(changes, 1)
    ]


def read_weights(text: str) -> dict[str, float]:
    """Words and factors out of ``cat=0.5, blue=2``. Raises ``ValueError`` for anything else."""
    weights: dict[str, float] = {}
    for entry in lines_of(text):
        word, equals, factor = (part.strip() for part in entry.rpartition("="))
        try:
            weights[word] = float(factor)
        except ValueError as error:
            raise ValueError(f"weights are written as word=factor, such as cat=0.5, got {shown(entry)}") from error
        if not equals or not word or not -10 <= weights[word] <= 10:
            raise ValueError(f"weights are written as word=factor, from -10 to 10, got {shown(entry)}")
    return weights
