"""The lab model in the key layout of SD1.5 checkpoints, which ComfyUI's model code uses."""

from torch import Tensor

from ...host.shared.unet_layouts import original_names
from .modules import LabModules


def unet_to_sd15(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A diffusers UNet state dict, keys as in ``model.diffusion_model`` of an SD1.5 checkpoint."""
    names = original_names(state.keys())
    return {names[key]: value for key, value in state.items()}


def text_to_sd15(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A transformers text encoder's state dict, keys as in ``cond_stage_model.transformer`` of an SD1.5 checkpoint."""
    return {f"text_model.{key.removeprefix('text_model.')}": value for key, value in state.items()}


def checkpoint(modules: LabModules) -> dict[str, Tensor]:
    """UNet, text encoder and autoencoder under SD1.5's prefixes; the autoencoder keeps the lab's own keys."""
    unet = unet_to_sd15(modules.unet.state_dict())
    text = text_to_sd15(modules.text_encoder.state_dict())
    state = {f"model.diffusion_model.{key}": value for key, value in unet.items()}
    state |= {f"cond_stage_model.transformer.{key}": value for key, value in text.items()}
    return state | {f"first_stage_model.{key}": value for key, value in modules.vae.state_dict().items()}
