"""Invert Picture."""

from typing import Any

from torch import Tensor

from ...core import types
from ...core.backbone import Backbone, Conditioning
from ...core.inversion import Trajectory
from ...host.adapters import backbone_of
from ...host.jobs.erase.inverting import SCHEDULERS, invert_pictures
from ...host.jobs.prompts import check_marks
from ...host.schema import io
from ...host.shared.progress import start_progress
from ..sockets import (
    CATEGORY,
    ConceptTokens,
    Noise,
    embeddings_verdict,
    model_inputs,
    picture_batch,
    pictures_under,
    text_input,
    text_under,
)


class InvertPicture(io.ComfyNode):
    """The noise that a model would have drawn a picture from."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierInvertPicture",
            display_name="Invert Picture",
            category=f"{CATEGORY}/erase",
            description=(
                "Finds the noise from which a model draws a given picture (DDIM inversion, and its counterpart for "
                "flow models). With the same prompt, steps and scheduler, and the sampler euler, a stock sampler draws "
                "the picture again from it: KSampler (Advanced) with add_noise disabled takes LATENT, "
                "SamplerCustomAdvanced takes NOISE and an empty latent. The node draws it again too and says how far "
                "it is from the picture. With an erased model it shows whether a concept comes back."
            ),
            search_aliases=["DDIM inversion", "flow inversion", "unsampler", "noise inversion", "RF inversion"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                *model_inputs("The model that the noise is found for."),
                io.Image.Input("image", tooltip="Pictures to invert; a batch is inverted picture by picture."),
                text_input(
                    "prompt",
                    "",
                    "The prompt that the picture is inverted with. Draw with the same prompt to get the "
                    "picture back. Empty works for any picture.",
                ),
                io.Int.Input("steps", default=20, min=1, max=1000, tooltip="Steps of the sampler that will draw."),
                io.Combo.Input(
                    "scheduler",
                    options=list(SCHEDULERS),
                    default="normal",
                    tooltip="Scheduler of the sampler that will draw.",
                ),
                io.Float.Input(
                    "guidance",
                    default=1.0,
                    min=1.0,
                    max=30.0,
                    step=0.5,
                    tooltip="Guidance (cfg) of the sampler that will draw. At 1 the picture comes back most exactly.",
                ),
                io.String.Input(
                    "negative", default="", optional=True, advanced=True, tooltip="What guidance leads away from."
                ),
                io.Int.Input(
                    "start_at_step",
                    default=0,
                    min=0,
                    max=999,
                    optional=True,
                    advanced=True,
                    tooltip="Step that drawing will start at, as in KSampler (Advanced). Later steps hold less noise, "
                    "and more of the picture stays whatever the prompt says.",
                ),
                io.Int.Input(
                    "passes",
                    default=4,
                    min=1,
                    max=20,
                    optional=True,
                    advanced=True,
                    tooltip="Most model passes for each step. 1 is close to DDIM inversion; more passes "
                    "bring the picture back more exactly.",
                ),
                ConceptTokens.Input("tokens", optional=True, tooltip="Learnt tokens that the prompts use."),
            ],
            outputs=[
                io.Latent.Output(display_name="LATENT", tooltip="Noise for KSampler (Advanced) without added noise."),
                Noise.Output(display_name="NOISE", tooltip="The same noise for SamplerCustomAdvanced."),
                io.Image.Output(display_name="IMAGE", tooltip="The pictures drawn again from the noise."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        image: Tensor,
        prompt: str,
        steps: int,
        scheduler: str,
        guidance: float,
        negative: str = "",
        start_at_step: int = 0,
        passes: int = 4,
        tokens: types.ConceptTokens | None = None,
    ) -> io.NodeOutput:
        backbone = backbone_of(model, clip, vae)
        positive, other = (encoded(backbone, text, tokens) for text in (prompt, negative))
        inverted = invert_pictures(
            model,
            Trajectory(backbone, positive, other, guidance),
            picture_batch(image),
            scheduler,
            steps,
            start_at_step,
            passes,
            start_progress(cls.hidden.unique_id),
        )
        drawn = inverted.returned.movedim(1, -1).float().cpu()
        shown = {**pictures_under(cls, drawn), **text_under(inverted.said)}
        return io.NodeOutput(inverted.latent, inverted.noise, drawn, ui=shown)

    @classmethod
    def validate_inputs(cls, prompt: str | None = None, negative: str | None = None) -> bool | str:
        return embeddings_verdict(prompt=prompt, negative=negative)


def encoded(backbone: Backbone, text: str, tokens: types.ConceptTokens | None) -> Conditioning:
    """A prompt, in which learnt tokens may stand."""
    check_marks(text, tokens)
    return backbone.encode_text([text], tokens.placeholders() if tokens else {})
