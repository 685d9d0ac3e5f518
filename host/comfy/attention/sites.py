"""Attention layers of a UNet inside ComfyUI."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from ....core.attention.selection import Kind, Stage
from ....core.backbone import AttentionSite
from ...shared.errors import UnsupportedModelError
from ..names import PREFIX

BlockKey = tuple[str, int, int]
"""ComfyUI's name of a transformer block: ``input``, ``middle`` or ``output``, number of the block, depth inside it."""

SiteKey = tuple[Kind, BlockKey]

_GROUPS: tuple[tuple[str, str, Stage], ...] = (
    ("input_blocks", "input", "down"),
    ("middle_block", "middle", "mid"),
    ("output_blocks", "output", "up"),
)

_LAYERS: tuple[tuple[Kind, str], ...] = (("self", "attn1"), ("cross", "attn2"))


def site_table(unet: Any) -> dict[SiteKey, AttentionSite]:
    """Every attention layer of a ComfyUI ``UNetModel`` in the order they run, by what its block is called at run time.

    Names are module paths: ``diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2``.
    Raises :class:`~...shared.errors.UnsupportedModelError` for a model that is no such UNet.
    """
    return {
        key: AttentionSite(f"{PREFIX}{path}", key[0], stage, layer.heads, downscale)
        for key, path, stage, downscale, layer in _layers(unet)
    }


Preference = Callable[[], Callable[..., Tensor] | None]
"""Asked when a layer computes: the attention that it prefers to the one selected, if any."""


def preferred_attention(unet: Any) -> dict[SiteKey, Preference]:
    """The layers that may prefer an attention of their own: their checkpoint says so, or a patch (since ComfyUI 0.34).

    ComfyUI leaves it out where an ``optimized_attention_override`` is set. Raises as :func:`site_table` does.
    """
    return {key: partial(preference_of, layer) for key, *_, layer in _layers(unet) if hasattr(layer, "comfy_attention")}


def preference_of(layer: Any) -> Callable[..., Tensor] | None:
    """The attention that a layer prefers now; None for none."""
    return getattr(layer.comfy_attention, "function", None)


def _layers(unet: Any) -> Iterator[tuple[SiteKey, str, Stage, int, Any]]:
    """Key, path, stage and downscale of every attention layer, and the layer, in the order they run."""
    if not all(hasattr(unet, group) for group, _, _ in _GROUPS):
        raise UnsupportedModelError(
            f"{type(unet).__name__} is no UNet; attention can be recorded in Stable Diffusion 1.x, 2.x, XL and the lab "
            "model"
        )
    downscale = 1
    for group, called, stage in _GROUPS:
        for number, path, block in _blocks(unet, group):
            for depth, (inside, transformer) in enumerate(_transformers(block)):
                for kind, layer in _LAYERS:
                    key: SiteKey = (kind, (called, number, depth))
                    yield key, f"{path}.{inside}.{layer}", stage, downscale, getattr(transformer, layer)
            downscale = _after(block, downscale)


def _blocks(unet: Any, group: str) -> list[tuple[int, str, nn.Module]]:
    blocks = getattr(unet, group)
    if blocks is None:
        return []
    return [(0, group, blocks)] if group == "middle_block" else [(i, f"{group}.{i}", b) for i, b in enumerate(blocks)]


def _transformers(block: nn.Module) -> list[tuple[str, Any]]:
    return [(name, m) for name, m in block.named_modules() if hasattr(m, "attn1") and getattr(m, "attn2", None)]


def _after(block: nn.Module, downscale: int) -> int:
    """The downscale behind a block: twice or half of it where the block ends in a change of size."""
    kinds = {type(module).__name__ for module in block.modules()}
    if "Downsample" in kinds:
        return downscale * 2
    return downscale // 2 if "Upsample" in kinds else downscale
