"""Load Lab Model."""

from ...host.files import folders
from ...host.schema import io
from ...host.shared.environment import inside_comfyui
from ..sockets import CATEGORY

DENOISERS = ("unet", "transformer")


class LoadLabModel(io.ComfyNode):
    """The small model that ships with the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ConceptAtelierLoadLabModel",
            display_name="Load Lab Model",
            category=CATEGORY,
            description=(
                "Loads the small Stable Diffusion that ships with the pack. It was trained from scratch "
                "on scenes of icons, 128x128 pixels, and needs no download. Every workflow runs on it "
                "within minutes."
            ),
            search_aliases=["checkpoint", "demo model", "tiny model"],
            inputs=[
                io.Combo.Input(
                    "denoiser",
                    options=list(DENOISERS),
                    default=DENOISERS[0],
                    optional=True,
                    advanced=True,
                    tooltip=(
                        "unet is Stable Diffusion in miniature, transformer FLUX.1 in miniature. Both read the same "
                        "text encoder and the same latents."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL"),
                io.Clip.Output(display_name="CLIP"),
                io.Vae.Output(display_name="VAE"),
            ],
        )

    @classmethod
    def execute(cls, denoiser: str = DENOISERS[0]) -> io.NodeOutput:
        embeddings = folders.current().models.get("embeddings", ())
        if inside_comfyui():
            from ...lab.model.comfy_native import load_native

            return io.NodeOutput(*load_native(embedding_folders=embeddings, denoiser=denoiser))
        from ...lab.model.handles import load_handles

        return io.NodeOutput(*load_handles(embedding_folders=embeddings, denoiser=denoiser))
