"""A model inside ComfyUI, in this very process: its own sampler, its own modules."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...core.backbone import Placeholders
from .ground import TEXT, gradients, leaves, plain_copy


def enter_comfyui(folder: Path) -> str:
    """Make this process one of ComfyUI's, before any of its modules is imported; returns its version.

    Raises ``FileNotFoundError`` where no ComfyUI is.
    """
    if not (folder / "comfy").is_dir():
        raise FileNotFoundError(f"{folder} is no ComfyUI: it has no folder comfy")
    sys.path.insert(0, str(folder))
    given, sys.argv = sys.argv, sys.argv[:1]  # ComfyUI reads the command line when it is imported
    try:
        args = importlib.import_module("comfy.cli_args").args
    finally:
        sys.argv = given
    args.cpu = not torch.cuda.is_available()
    for name in ("folder_paths", "comfy.sd", "comfy.sample"):
        importlib.import_module(name)
    return str(importlib.import_module("comfyui_version").__version__)


class NativeGround:
    """See :class:`.ground.Ground`. Weights are made under inference mode, as loader nodes make them."""

    def __init__(self, version: str, parts: tuple[Any, Any, Any]) -> None:
        import comfy.model_management

        self.host = f"ComfyUI {version}"
        self.model, self.clip, self.vae = parts
        self._conditioning = self.clip.encode_from_tokens_scheduled(self.clip.tokenize(TEXT))
        # Copied now: while something is learnt, functions that copy weights hang on the layers. Loading the model takes
        # off those that earlier learning may have left.
        comfy.model_management.load_models_gpu([self.model])
        with torch.inference_mode(False):
            self.unet = plain_copy(self.model.model.diffusion_model)
            self.encoder = plain_copy(self.clip.cond_stage_model)

    def sample(self, model: Any, side: int, steps: int) -> Any:
        import comfy.sample

        latent = torch.zeros(1, 4, side // 8, side // 8)
        noise = comfy.sample.prepare_noise(latent, 1)
        how = (steps, 1.0, "euler", "normal", self._conditioning, self._conditioning, latent)
        return comfy.sample.sample(model, noise, *how, disable_pbar=True)

    def forward(self, latent: Tensor) -> Any:
        import comfy.model_management as management

        management.load_models_gpu([self.model])
        sigma = torch.full((len(latent),), 3.0)
        inputs = {"c_crossattn": self._conditioning[0][0], "transformer_options": {}}
        return self.model.model.apply_model(latent, sigma, **inputs)

    def forward_backward(self, latent: Tensor, texts: Sequence[str], placeholders: Placeholders) -> Any:
        from ...host.comfy.attention.taps import OVERRIDE
        from ...host.comfy.gradients import plain_attention, saving_copies
        from ...host.comfy.text.prompts import read

        with torch.inference_mode(False), torch.enable_grad():
            fresh, vectors = leaves(placeholders)
            with saving_copies():  # without which no gradient comes through ComfyUI's text encoder
                read_texts = [read(self.clip, text, fresh).tokens for text in texts]
                context = torch.cat([self.encoder.encode_token_weights(tokens)[0] for tokens in read_texts])
            time = torch.full((len(latent),), 500.0)
            # PyTorch's own attention for both: not every other has a gradient.
            options = {OVERRIDE: plain_attention}
            return gradients(self.unet(latent.clone(), time, context=context, transformer_options=options), vectors)


def native_lab() -> tuple[Any, Any, Any]:
    """MODEL, CLIP and VAE of the lab model."""
    from ...lab.model.comfy_native import load_native

    return load_native()
