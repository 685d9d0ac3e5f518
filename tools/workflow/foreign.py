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


FOREIGN_NODES: tuple[type[io.ComfyNode], ...] = (CheckpointLoaderSimple, CLIPVisionLoader)


def drawing_registry() -> Registry:
    """Every node that a workflow of the pack may show."""
    return Registry([*HEADLESS_NODES, *FOREIGN_NODES])
