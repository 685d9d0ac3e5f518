"""What one pass of a denoiser of diffusers is given beside latent, timestep and text."""

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.messages import listed
from ..shared.handles import ModelHandle
from ..shared.weights.changes_in_force import ChangesInForce
from ..shared.weights.weight_patches import changed, constants, patched_weights
from .denoiser_weights import of_parameters


def tensors_in_force(model: ModelHandle, changes: ChangesInForce) -> dict[str, Tensor]:
    """What replaces the denoiser's own tensors in a call: nothing, unless there are patches, changes or gradients."""
    unet = model.unet
    base = constants(unet) if torch.is_grad_enabled() else {}
    base |= patched_weights(unet, model.patches)
    for named in changes.weights:
        for name, factor in of_parameters(model, named).items():
            weight = base[name] if name in base else unet.get_parameter(name).detach()
            base[name] = changed(weight, [factor])
    return base


def sizes_of(model: ModelHandle, size: tuple[int, int]) -> Tensor:
    """(1, 6) what Stable Diffusion XL reads of an uncropped picture whose latent has this size (h, w): its sides in
    pixels, where it begins, and the sides again."""
    height, width = (side * model.latent_downscale for side in size)
    return torch.tensor([[height, width, 0, 0, height, width]])


def pooled_text_and_sizes(model: ModelHandle, latent: Tensor, conditioning: Conditioning) -> dict[str, Tensor] | None:
    """What Stable Diffusion XL reads beside the text; the sizes default to the picture's own, uncropped. None for
    models that read no more. Raises ``ValueError`` for a conditioning without pooled text."""
    unet = model.unet
    if unet.config.addition_embed_type != "text_time":
        return None
    extras = conditioning.extras
    if "pooled_output" not in extras:
        raise ValueError(f"{model.family} needs the pooled text; its conditioning has {listed(extras) or 'no'} extras")
    sizes = sizes_of(model, (latent.shape[-2], latent.shape[-1])).expand(len(latent), -1)
    moved = {"device": unet.device, "dtype": unet.dtype}
    return {
        "text_embeds": extras["pooled_output"].to(**moved),
        "time_ids": extras.get("time_ids", sizes).to(**moved),
    }
