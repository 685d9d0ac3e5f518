"""Record Activations."""

from typing import Any

from torch import Tensor

from ...core.explain.recording import NOISE, record_denoiser
from ...core.messages import counted
from ...host.adapters import backbone_of
from ...host.jobs.vision import record_encoder
from ...host.schema import io, ui
from ...host.shared.progress import start_progress
from ..sockets import CATEGORY, Activations, picture_batch, seed_input


class RecordActivations(io.ComfyNode):
    """What a picture encoder, or a diffusion model, computes at every position of pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierRecordActivations",
            display_name="Record Activations",
            category=f"{CATEGORY}/explain",
            description=(
                "Records what a model computes at every position of pictures, for Find Ingredients. Connect either a "
                "CLIP_VISION, or MODEL, CLIP and VAE: a diffusion model sees the pictures with a little noise, and "
                "the queries and keys of one of its self-attention layers are recorded."
            ),
            search_aliases=["features", "hidden states", "capture activations", "interpretability", "CRAFT", "SAE"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Image.Input(
                    "pictures",
                    tooltip="All pictures together, such as Load Picture Folder gives. 500 pictures of 256 positions "
                    "and 1024 numbers take 0.5 GB; more than 4 GB are refused.",
                ),
                io.String.Input(
                    "site",
                    default="",
                    tooltip="The layer to record; empty takes a good one. For CLIP_VISION: penultimate or "
                    "last; for the lab's: 16, 8 or 4 (cells per side), or all. For a diffusion "
                    "model: the name of a self-attention layer, or a part of it that no other "
                    "name contains; a wrong name lists them all.",
                ),
                seed_input("Random seed for the noise that a diffusion model sees in the pictures."),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="The picture encoder to record. Leave MODEL unconnected then."
                ),
                io.Model.Input(
                    "model", optional=True, tooltip="The diffusion model to record, instead of CLIP_VISION."
                ),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder of that model."),
                io.Vae.Input("vae", optional=True, tooltip="The autoencoder of that model."),
                io.Float.Input(
                    "noise",
                    default=NOISE,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    advanced=True,
                    tooltip="Share of noise in the pictures that a diffusion model sees.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "The prompt that a diffusion model gets while it reads the pictures; the same for all of them."
                    ),
                ),
            ],
            outputs=[
                Activations.Output(
                    display_name="ACTIVATIONS", tooltip="For Find Ingredients, Show Ingredients and Ingredient Masks."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        pictures: Tensor,
        site: str,
        seed: int,
        clip_vision: Any = None,
        model: Any = None,
        clip: Any = None,
        vae: Any = None,
        noise: float = NOISE,
        text: str = "",
    ) -> io.NodeOutput:
        given, progress = picture_batch(pictures), start_progress(cls.hidden.unique_id)
        parts = {"model": model, "clip": clip, "vae": vae}
        missing = [name.upper() for name, part in parts.items() if part is None]
        if (clip_vision is None) == (len(missing) == 3) or (clip_vision is None and missing):
            raise ValueError(
                "connect either CLIP_VISION alone, or MODEL, CLIP and VAE; "
                + (f"missing: {', '.join(missing)}" if clip_vision is None else "both are connected")
            )
        if clip_vision is not None:
            found = record_encoder(clip_vision, given, site, progress)
        else:
            found = record_denoiser(backbone_of(**parts), given, site, noise, seed, text, progress)
        height, width = found.grid
        said = (
            f"{counted(len(found), 'picture')}, {height}x{width} positions each, "
            f"{found.origin.width} numbers a position: {found.megabytes:.1f} MB. Site: {found.origin.site}"
        )
        return io.NodeOutput(found, ui=ui.PreviewText(said))
