"""Moving the latent so that the passes of several concepts share one layout.

Concept Conductor (Yao et al., arXiv 2408.03632), layout alignment: the keys of one self-attention layer hold the
layout of what is being drawn. ``L = MSE(K_prompt, K_ref) + lambda mean_i MSE(K_i, K_ref)``, with keys of the prompt's
pass and of each concept's branch at the latent, and those of a reference. The paper inverts a reference picture. Here
the reference is a picture's latent with the noise that the model sees in the latent; without a picture it is the
prompt's own pass, so that concepts follow the layout that the prompt draws.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...backbone import AttentionCall, AttentionEdit, AttentionSite, Backbone, Conditioning
from .steering import read_attention


def keys_of(
    backbone: Backbone,
    latent: Tensor,
    timestep: Tensor,
    conditioning: Conditioning,
    site: AttentionSite,
    edit: AttentionEdit | None = None,
) -> Tensor:
    """The keys (B, heads, n, d) of the picture in a self-attention or joint layer; the pass ends there."""
    found: list[Tensor] = []

    def tap(call: AttentionCall) -> None:
        if call.kind == "self":
            found.append(call.key if call.columns is None else call.key[:, :, call.columns])

    read_attention(backbone, latent, timestep, conditioning, (site,), tap, edit)
    return found[0].float()


def layout_loss(prompt: Tensor, concepts: Sequence[Tensor], reference: Tensor, weight: float) -> Tensor:
    """The loss (B,) on keys (B, heads, n, d); ``weight`` is that of the concepts' branches."""
    loss = _distance(prompt, reference)
    return loss + weight * torch.stack([_distance(own, reference) for own in concepts]).mean(0)


def _distance(keys: Tensor, reference: Tensor) -> Tensor:
    return (keys - reference).square().flatten(1).mean(1)
