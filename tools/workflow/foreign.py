"""Stock nodes that our runner does not run, as workflows for ComfyUI draw them. Only their schemas are here."""

from ...host.schema.standin import io
from ...host.workflow.registry import Registry
from ...nodes.headless import HEADLESS_NODES


class CheckpointLoaderSimple(io.ComfyNode):
    """A checkpoint of the models folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CheckpointLoaderSimple",
            display_name="Load Checkpoint",
            category="loaders",
            inputs=[io.Combo.Input("ckpt_name", options=[])],
            outputs=[
                io.Model.Output(display_name="MODEL"),
                io.Clip.Output(display_name="CLIP"),
                io.Vae.Output(display_name="VAE"),
            ],
        )


class CLIPVisionLoader(io.ComfyNode):
    """A picture encoder of the models folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CLIPVisionLoader",
            display_name="Load CLIP Vision",
            category="loaders",
            inputs=[io.Combo.Input("clip_name", options=[])],
            outputs=[io.ClipVision.Output(display_name="CLIP_VISION")],
        )


class UNETLoader(io.ComfyNode):
    """A denoiser of the diffusion_models folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UNETLoader",
            display_name="Load Diffusion Model",
            category="advanced/loaders",
            inputs=[
                io.Combo.Input("unet_name", options=[]),
                io.Combo.Input("weight_dtype", options=["default"], advanced=True),
            ],
            outputs=[io.Model.Output(display_name="MODEL")],
        )


class CLIPLoader(io.ComfyNode):
    """A text encoder of the text_encoders folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="CLIPLoader",
            display_name="Load CLIP",
            category="advanced/loaders",
            inputs=[
                io.Combo.Input("clip_name", options=[]),
                io.Combo.Input("type", options=[]),
                io.Combo.Input("device", options=["default"], optional=True, advanced=True),
            ],
            outputs=[io.Clip.Output(display_name="CLIP")],
        )


class VAELoader(io.ComfyNode):
    """An autoencoder of the vae folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VAELoader",
            display_name="Load VAE",
            category="loaders",
            inputs=[io.Combo.Input("vae_name", options=[])],
            outputs=[io.Vae.Output(display_name="VAE")],
        )


class ModelSamplingAuraFlow(io.ComfyNode):
    """A flow model whose noise levels are shifted."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ModelSamplingAuraFlow",
            display_name="ModelSamplingAuraFlow",
            category="advanced/model",
            inputs=[io.Model.Input("model"), io.Float.Input("shift", default=1.73, min=0.0, max=100.0, step=0.01)],
            outputs=[io.Model.Output(display_name="MODEL")],
        )


class EmptySD3LatentImage(io.ComfyNode):
    """Empty latents of sixteen channels."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmptySD3LatentImage",
            display_name="EmptySD3LatentImage",
            category="latent/sd3",
            inputs=[
                io.Int.Input("width", default=1024, min=16, max=16384, step=16),
                io.Int.Input("height", default=1024, min=16, max=16384, step=16),
                io.Int.Input("batch_size", default=1, min=1, max=4096),
            ],
            outputs=[io.Latent.Output(display_name="LATENT")],
        )


FOREIGN_NODES: tuple[type[io.ComfyNode], ...] = (
    CheckpointLoaderSimple,
    CLIPVisionLoader,
    UNETLoader,
    CLIPLoader,
    VAELoader,
    ModelSamplingAuraFlow,
    EmptySD3LatentImage,
)


def drawing_registry() -> Registry:
    """Every node that a workflow of the pack may show."""
    return Registry([*HEADLESS_NODES, *FOREIGN_NODES])
