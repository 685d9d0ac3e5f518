"""Attention layers of a UNet inside ComfyUI."""

from typing import Any

from torch import nn

from ..core.attention.selection import Kind, Stage
from ..core.backbone import AttentionSite
from .comfy_names import PREFIX
from .errors import UnsupportedModelError

BlockKey = tuple[str, int, int]
"""ComfyUI's name of a transformer block: ``input``, ``middle`` or ``output``, number of the block, depth inside it."""

SiteKey = tuple[Kind, BlockKey]

_GROUPS: tuple[tuple[str, str, Stage], ...] = (
    ("input_blocks", "input", "down"),
    ("middle_block", "middle", "mid"),
    ("output_blocks", "output", "up"),
)


def site_table(unet: Any) -> dict[SiteKey, AttentionSite]:
    """Every attention layer of a ComfyUI ``UNetModel`` in the order they run, by what its block is called at run time.

    Names are module paths: ``diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2``.
    Raises :class:`~.errors.UnsupportedModelError` for a model that is no such UNet.
    """
    if not all(hasattr(unet, group) for group, _, _ in _GROUPS):
        raise UnsupportedModelError(
            f"{type(unet).__name__} is no UNet; attention is heard in Stable Diffusion 1.x, 2.x, XL and the lab model"
        )
    table: dict[SiteKey, AttentionSite] = {}
    downscale = 1
    for group, called, stage in _GROUPS:
        for number, path, block in _blocks(unet, group):
            for depth, (inside, transformer) in enumerate(_transformers(block)):
                for kind, layer in (("self", "attn1"), ("cross", "attn2")):
                    name = f"{PREFIX}{path}.{inside}.{layer}"
                    heads = getattr(transformer, layer).heads
                    table[(kind, (called, number, depth))] = AttentionSite(name, kind, stage, heads, downscale)  # type: ignore[arg-type, index]
            downscale = _after(block, downscale)
    return table


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
