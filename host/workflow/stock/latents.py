"""Between pictures and latents, and the sampler."""

from typing import Any

import torch
from torch import Tensor

from ...adapters import backbone_of, handle_of
from ...headless import sampling
from ...headless.noise_levels import SCHEDULERS
from ...headless.samplers import SAMPLERS
from ...schema.standin import io
from ...shared.handles import ModelHandle, VaeHandle
from ...shared.progress import start_progress
from .pictures import MAX_SIDE

MAX_SEED = 2**64 - 1
Latent = dict[str, Any]


class EmptyLatentImage(io.ComfyNode):
    """Latents of zeros: (B, 4, height / 8, width / 8)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmptyLatentImage",
            display_name="Empty Latent Image",
            category="latent",
            inputs=[
                io.Int.Input("width", default=512, min=16, max=MAX_SIDE, step=8),
                io.Int.Input("height", default=512, min=16, max=MAX_SIDE, step=8),
                io.Int.Input("batch_size", default=1, min=1, max=4096),
            ],
            outputs=[io.Latent.Output(display_name="LATENT")],
        )

    @classmethod
    def execute(cls, width: int, height: int, batch_size: int) -> io.NodeOutput:
        return io.NodeOutput({"samples": torch.zeros(batch_size, 4, height // 8, width // 8)})


class KSampler(io.ComfyNode):
    """Denoises latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="KSampler",
            display_name="KSampler",
            category="sampling",
            inputs=[
                io.Model.Input("model"),
                io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True),
                io.Int.Input("steps", default=20, min=1, max=10000),
                io.Float.Input("cfg", default=8.0, min=0.0, max=100.0, step=0.1, round=0.01),
                io.Combo.Input("sampler_name", list(SAMPLERS)),
                io.Combo.Input("scheduler", list(SCHEDULERS)),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent_image"),
                io.Float.Input("denoise", default=1.0, min=0.0, max=1.0, step=0.01),
            ],
            outputs=[io.Latent.Output(display_name="LATENT")],
        )

    @classmethod
    def execute(
        cls, model: ModelHandle, positive: Any, negative: Any, latent_image: Latent, **settings: Any
    ) -> io.NodeOutput:
        model = handle_of("MODEL", model)
        return io.NodeOutput(
            sampling.sample(model, positive, negative, latent_image, progress=start_progress(), **settings)
        )


class KSamplerAdvanced(io.ComfyNode):
    """Takes some of the steps of a run, from latents that may hold their noise already."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="KSamplerAdvanced",
            display_name="KSampler (Advanced)",
            category="sampling",
            inputs=[
                io.Model.Input("model"),
                io.Combo.Input("add_noise", ["enable", "disable"]),
                io.Int.Input("noise_seed", default=0, min=0, max=MAX_SEED, control_after_generate=True),
                io.Int.Input("steps", default=20, min=1, max=10000),
                io.Float.Input("cfg", default=8.0, min=0.0, max=100.0, step=0.1, round=0.01),
                io.Combo.Input("sampler_name", list(SAMPLERS)),
                io.Combo.Input("scheduler", list(SCHEDULERS)),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent_image"),
                io.Int.Input("start_at_step", default=0, min=0, max=10000),
                io.Int.Input("end_at_step", default=10000, min=0, max=10000),
                io.Combo.Input("return_with_leftover_noise", ["disable", "enable"]),
            ],
            outputs=[io.Latent.Output(display_name="LATENT")],
        )

    @classmethod
    def execute(
        cls,
        model: ModelHandle,
        add_noise: str,
        noise_seed: int,
        positive: Any,
        negative: Any,
        latent_image: Latent,
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
        **settings: Any,
    ) -> io.NodeOutput:
        part = {"first": start_at_step, "last": end_at_step, "leftover_noise": return_with_leftover_noise == "enable"}
        model, noise = handle_of("MODEL", model), add_noise == "enable"
        given = {"seed": noise_seed, "add_noise": noise, "progress": start_progress(), **part, **settings}
        return io.NodeOutput(sampling.sample(model, positive, negative, latent_image, **given))


class VAEDecode(io.ComfyNode):
    """Latents to pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VAEDecode",
            display_name="VAE Decode",
            category="latent",
            inputs=[io.Latent.Input("samples"), io.Vae.Input("vae")],
            outputs=[io.Image.Output(display_name="IMAGE")],
        )

    @classmethod
    def execute(cls, samples: Latent, vae: VaeHandle) -> io.NodeOutput:
        latent = samples["samples"]
        if not torch.isfinite(latent).all():
            raise ValueError("the latent holds NaN or infinite values; sampling or an edit of the model went wrong")
        scaled = latent.float() * handle_of("VAE", vae).scaling_factor
        return io.NodeOutput(backbone_of(vae=vae).decode_latent(scaled).movedim(1, -1))


class VAEEncode(io.ComfyNode):
    """Pictures to latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="VAEEncode",
            display_name="VAE Encode",
            category="latent",
            inputs=[io.Image.Input("pixels"), io.Vae.Input("vae")],
            outputs=[io.Latent.Output(display_name="LATENT")],
        )

    @classmethod
    def execute(cls, pixels: Tensor, vae: VaeHandle) -> io.NodeOutput:
        scaled = backbone_of(vae=vae).encode_image(pixels[..., :3].movedim(-1, 1))
        return io.NodeOutput({"samples": scaled / vae.scaling_factor})
