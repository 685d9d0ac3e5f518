"""The lab's second denoiser: FLUX.1 in miniature, a diffusion transformer that reads the same text and latents.

It has FLUX.1's anatomy: blocks with a stream each for text and picture, then blocks with one stream for both. Text
reaches it by its rows alone: the pooled text that FLUX.1 adds to the noise level is left at zeros.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...core.files import load_tensors
from ...core.schedule import alphas_of_flow, flow_sigmas
from .modules import TEXT_WIDTH
from .vae import LATENT_CHANNELS

if TYPE_CHECKING:
    from diffusers import FluxTransformer2DModel

TRANSFORMER_FILE = "transformer/diffusion_pytorch_model.safetensors"

HEADS, HEAD_WIDTH = 3, 64

TRANSFORMER_CONFIG: dict[str, Any] = {
    "patch_size": 1,
    "in_channels": LATENT_CHANNELS,
    "num_layers": 2,
    "num_single_layers": 4,
    "attention_head_dim": HEAD_WIDTH,
    "num_attention_heads": HEADS,
    "joint_attention_dim": TEXT_WIDTH,
    "pooled_projection_dim": 1,
    "guidance_embeds": False,
    "axes_dims_rope": (8, 28, 28),  # of the channels of a head: nothing (FLUX.1's first axis), row, column
}

FLOW_STEPS, FLOW_SHIFT = 1000, 1.5

POOLED = "time_text_embed.text_embedder."
"""Prefix of the tensors that embed the pooled text: zeros, which are not trained and in no file."""


def build_transformer(config: dict[str, Any] | None = None) -> "FluxTransformer2DModel":
    """The transformer, freshly initialised so that every block begins as the identity and the prediction as zero
    (adaLN-Zero: Peebles & Xie 2023, arXiv 2212.09748, sec. 3.2)."""
    from diffusers import FluxTransformer2DModel

    model = FluxTransformer2DModel(**(config or TRANSFORMER_CONFIG))
    for name, module in model.named_modules():
        modulates = isinstance(module, nn.Linear) and name.endswith((".linear", "norm_out.linear"))
        if modulates or name == "proj_out" or f"{name}.".startswith(POOLED):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
    model.time_text_embed.text_embedder.requires_grad_(False)
    return model


def untrained_transformer(seed: int = 0) -> "FluxTransformer2DModel":
    """The transformer as training begins, in evaluation mode. Leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_transformer().eval().requires_grad_(False)


def load_transformer(folder: Path) -> "FluxTransformer2DModel":
    """The trained transformer of a model folder, float32, in evaluation mode.

    Raises:
        FileNotFoundError: naming the missing file and how to make it.
    """
    model = build_transformer()
    fill(model, load_transformer_state(folder))
    return model.eval().requires_grad_(False)


def load_transformer_state(folder: Path) -> dict[str, Tensor]:
    """The float32 state of a model folder's transformer. Raises as :func:`load_transformer` does."""
    path = folder / TRANSFORMER_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"the lab transformer is missing: {path}. Restore the file from the repository, train one with `python -m "
            "concept_atelier lab train transformer` and `lab publish --transformer`, or choose the denoiser unet."
        )
    return {key: value.float() for key, value in load_tensors(path)[0].items()}


def trained_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of a state belongs in a file: all but the zeros of the pooled text."""
    return {key: value for key, value in state.items() if not key.startswith(POOLED)}


def fill(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Load a state of :func:`trained_state`. Raises ``RuntimeError`` for one that does not fit."""
    own = model.state_dict()
    model.load_state_dict({key: own[key] for key in own if key.startswith(POOLED)} | state)


def transformer_alphas() -> Tensor:
    """(1000,) float64: the signal share per timestep of the flow that the transformer is sampled along."""
    return alphas_of_flow(flow_sigmas(FLOW_STEPS, FLOW_SHIFT))
