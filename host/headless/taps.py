"""Attention layers of a diffusers UNet, and reading their queries and keys with forward hooks.

The hooks read what ``to_q`` and ``to_k`` return and change nothing, so the model's output stays bit-identical
whatever attention kernel it uses.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...core.attention.selection import Stage
from ...core.backbone import AttentionCall, AttentionSite, AttentionWeight, Tap
from ..shared.recomputation import Recomputation
from ..shared.weights.unet_layouts import ROLES


@dataclass(frozen=True)
class Forward:
    """What a tap has to know about the forward pass that is running.

    Attributes:
        latent_size: (h, w) of the latent.
        conditional: per batch row, whether it belongs to the positive conditioning.
        timestep: the timestep of all rows, or None when they differ.
        text_length: length of the positive context before it was repeated to match another one.
        joint: whether text and picture share their rows.
    """

    latent_size: tuple[int, int]
    conditional: tuple[bool, ...]
    timestep: float | None
    text_length: int
    joint: bool = False


def find_sites(unet: Any) -> tuple[AttentionSite, ...]:
    """Every attention layer of the UNet in the order they run, named by module path."""
    sites: list[AttentionSite] = []
    downscale = 1
    for index, block in enumerate(unet.down_blocks):
        sites += _sites_in(block, f"down_blocks.{index}", "down", downscale)
        downscale *= 2 if getattr(block, "downsamplers", None) else 1
    if unet.mid_block is not None:
        sites += _sites_in(unet.mid_block, "mid_block", "mid", downscale)
    for index, block in enumerate(unet.up_blocks):
        sites += _sites_in(block, f"up_blocks.{index}", "up", downscale)
        downscale //= 2 if getattr(block, "upsamplers", None) else 1
    return tuple(sites)


def _sites_in(block: nn.Module, prefix: str, stage: Stage, downscale: int) -> list[AttentionSite]:
    layers = [(name, module) for name, module in block.named_modules() if hasattr(module, "is_cross_attention")]
    return [
        AttentionSite(
            name=f"{prefix}.{name}",
            kind="cross" if layer.is_cross_attention else "self",
            stage=stage,
            heads=layer.heads,
            downscale=downscale,
        )
        for name, layer in layers
    ]


def find_weights(unet: Any) -> tuple[AttentionWeight, ...]:
    """The projections of every attention layer in the order they run, named as in the UNet's state dict."""
    found = []
    for site in find_sites(unet):
        for role, layer in ROLES.items():
            name = f"{site.name}.{layer}.weight"
            rows, columns = unet.get_parameter(name).shape
            found.append(AttentionWeight(name, site.kind, role, (rows, columns)))
    return tuple(found)


@contextmanager
def hooked(hooks: Iterable[list[RemovableHandle]]) -> Iterator[None]:
    """Within the context these hooks are set; all are gone afterwards, also if setting one of them fails."""
    handles: list[RemovableHandle] = []
    try:
        for some in hooks:
            handles += some
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def tapped(
    unet: Any, sites: Sequence[AttentionSite], tap: Tap, forward: Callable[[], Forward], blocks: Recomputation
) -> Iterator[None]:
    """Within the context ``tap`` is called beside each site; all hooks are gone afterwards, whatever happens.

    ``forward`` returns the description of the pass that is running; ``blocks`` says when taps are called.
    """
    with hooked(_listen(unet.get_submodule(site.name), site, tap, forward, blocks) for site in sites):
        yield


def _listen(
    layer: Any, site: AttentionSite, tap: Tap, forward: Callable[[], Forward], blocks: Recomputation
) -> list[RemovableHandle]:
    if getattr(layer, "fused_projections", False):
        raise ValueError(f"{site.name} has fused projections; call unet.unfuse_qkv_projections() before recording")
    seen: dict[str, Tensor] = {}

    def hook_of(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            if blocks.silent:
                return
            seen[name] = output
            if len(seen) == 2:  # before the attention itself, so that a tap can end the pass here
                call = _describe(site, layer, seen.pop("query"), seen.pop("key"), forward())
                blocks.notify(lambda: tap(call))

        return hook

    return [
        layer.to_q.register_forward_hook(hook_of("query")),
        layer.to_k.register_forward_hook(hook_of("key")),
    ]


def _describe(site: AttentionSite, layer: Any, query: Tensor, key: Tensor, forward: Forward) -> AttentionCall:
    if site.kind == "cross":
        # A repeated context has exact copies of each key: the softmax over the first run is the sum over the copies.
        key = key[:, : forward.text_length]
    grid = site.grid(forward.latent_size)
    if grid[0] * grid[1] != query.shape[1]:
        raise ValueError(f"{site.name} has {query.shape[1]} queries, expected a grid of {grid[0]}x{grid[1]}")
    return AttentionCall(
        site=site,
        query=split_heads(query, site.heads),
        key=split_heads(key, site.heads),
        scale=float(layer.scale),
        grid=grid,
        conditional=forward.conditional,
        timestep=forward.timestep,
    )


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads*d) to (B, heads, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
