"""How well directions of the space shared by pictures and texts fit every position of a picture.

The lab's image tower says what each position adds to the similarity (gradient times input). A CLIP vision transformer
is read as ClearCLIP (arXiv 2407.12442) has it: of its last block only the attention is kept, without the residual and
the layer behind it, and queries take the place of keys, so that positions gather what is like them. Without a class
token in the way, the projection to the shared space can then be applied to every position.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ....core.attention.probabilities import attend
from ...shared.errors import UnsupportedModelError
from ...shared.progress import check_interrupt
from ..explain.encoder_head import last_block
from ..vision import BATCH, OnStep, check_vision

UNREAD = (
    "this CLIP_VISION cannot be read position by position in the space that it shares with texts; use a CLIP vision "
    "model, or Load Lab CLIP Vision"
)


def direction_maps(clip_vision: Any, pictures: Tensor, directions: Tensor, on_step: OnStep | None = None) -> Tensor:
    """How well directions (V, D) of the shared space fit the positions of pictures (P, 3, H, W), which are squeezed
    into the encoder's square: (P, V, h, w).

    Raises :class:`UnsupportedModelError` for encoders whose positions cannot be brought to the shared space.
    """
    check_vision(clip_vision)
    own = getattr(clip_vision, "direction_maps", None)
    parts = []
    for number, part in enumerate(pictures.split(BATCH)):
        check_interrupt()
        image = part.movedim(1, -1).contiguous()
        parts.append(own(image, directions) if own is not None else _of_comfyui(clip_vision, image, directions))
        if on_step is not None:
            on_step(min(len(pictures), (number + 1) * BATCH), len(pictures))
    return torch.cat(parts)


@torch.no_grad()
def _of_comfyui(clip_vision: Any, image: Tensor, directions: Tensor) -> Tensor:
    block, model = last_block(clip_vision), clip_vision.model
    attention = getattr(block, "self_attn", None)
    patch = getattr(clip_vision, "config", {}).get("patch_size")
    vision = getattr(model, "vision_model", None)
    if attention is None or not hasattr(attention, "q_proj") or vision is None or not patch:
        raise UnsupportedModelError(UNREAD)
    found: list[Tensor] = []

    def read(module: Any, args: tuple[Any, ...]) -> None:
        states = module.layer_norm1(args[0])  # (B, tokens, D)
        query, value = (
            _heads(attention.q_proj(states), attention.heads),
            _heads(attention.v_proj(states), attention.heads),
        )
        mixed = attend(query, query, value, query.shape[-1] ** -0.5)  # (B, heads, tokens, d)
        found.append(model.visual_projection(vision.post_layernorm(attention.out_proj(mixed.mT.flatten(1, 2).mT))))

    hook = block.register_forward_pre_hook(read)
    try:
        clip_vision.encode_image(image, crop=False)
    finally:
        hook.remove()
    side = clip_vision.image_size // patch
    rows = found[0][:, -side * side :].detach().float().cpu()  # (B, side * side, E)
    if rows.shape[-1] != directions.shape[1]:
        raise UnsupportedModelError(UNREAD)
    return (normalize(rows, dim=-1) @ directions.T).mT.unflatten(-1, (side, side))


def _heads(rows: Tensor, heads: int) -> Tensor:
    """(B, tokens, heads * d) to (B, heads, tokens, d)."""
    return rows.unflatten(-1, (heads, -1)).transpose(1, 2)
