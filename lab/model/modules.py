"""The parts of the lab model: Stable Diffusion in miniature, with the same anatomy."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...core.schedule import scaled_linear_alphas
from .text_encoder import TextEncoder
from .unet import Unet, lab_unet
from .vae import DOWNSCALE, LATENT_CHANNELS, LabVAE

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

TOKENIZER_FOLDER = Path(__file__).parent / "tokenizer"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
CONTEXT_LENGTH = 77
TEXT_WIDTH = 192
TRAIN_TIMESTEPS, BETA_START, BETA_END = 1000, 0.00085, 0.012

# One entry per level of the picture: 1, 1/2 and 1/4 of the latent's side. Widths are multiples of 32, because
# ComfyUI's layout fixes 32 norm groups; heads have 32 channels each.
UNET_CONFIG: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "block_out_channels": (64, 128, 192),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    "attention_head_dim": (2, 4, 6),  # diffusers reads this as head counts
    "cross_attention_dim": TEXT_WIDTH,
    "norm_num_groups": 32,
}

TEXT_CONFIG: dict[str, Any] = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 4 * TEXT_WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "hidden_act": "quick_gelu",
}


@dataclass(frozen=True)
class LabModules:
    """The four parts; ``vae`` makes latents at 1/8 of the side.

    Denoiser and text encoder are those of diffusers and transformers where they are built to be trained, and our own
    with the same weights where they are loaded.
    """

    unet: "UNet2DConditionModel | Unet"
    text_encoder: "CLIPTextModel | TextEncoder"
    tokenizer: "CLIPTokenizer"
    vae: LabVAE

    downscale = DOWNSCALE


@lru_cache(maxsize=1)
def load_tokenizer() -> "CLIPTokenizer":
    """CLIP's tokenizer class over the lab's own vocabulary."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer(
        vocab=str(TOKENIZER_FOLDER / "vocab.json"),
        merges=str(TOKENIZER_FOLDER / "merges.txt"),
        bos_token=BOS,
        eos_token=EOS,
        pad_token=EOS,
        unk_token=EOS,
        model_max_length=CONTEXT_LENGTH,
    )


def build_text_encoder() -> "CLIPTextModel":
    """A causal CLIP text encoder over the lab's vocabulary, freshly initialised."""
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = load_tokenizer()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=CONTEXT_LENGTH,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
            **TEXT_CONFIG,
        )
    )


def build_unet() -> "UNet2DConditionModel":
    """The denoiser, freshly initialised."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**UNET_CONFIG)


def quick_unet() -> Unet:
    """The denoiser with diffusers' results and names of weights, without importing diffusers."""
    return lab_unet(UNET_CONFIG)


def quick_text_encoder() -> TextEncoder:
    """The text encoder with transformers' results and names of weights, without importing its models."""
    tokenizer = load_tokenizer()
    return TextEncoder(len(tokenizer), CONTEXT_LENGTH, tokenizer.eos_token_id, TEXT_CONFIG)


def alphas_cumprod() -> Tensor:
    """(1000,) float64: SD1.5's scaled-linear schedule, which the lab model was trained with."""
    return scaled_linear_alphas(TRAIN_TIMESTEPS, BETA_START, BETA_END)


def build_modules(seed: int = 0) -> LabModules:
    """The lab model with random weights: every interface, no knowledge. Leaves the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LabModules(build_unet().eval(), build_text_encoder().eval(), load_tokenizer(), LabVAE().eval())
