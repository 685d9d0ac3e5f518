"""diffusers' ``FluxTransformer2DModel``: calls with latents and noise levels, its attention layers and their weights.

Text rows lie before the picture's. Taps read what the norms of queries and keys return, and turn them by position as
the layer does; they change nothing, so the model's output stays bit-identical whatever attention kernel it uses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...core.attention.selection import Role
from ...core.backbone import AttentionCall, AttentionSite, AttentionWeight, Tap
from ..shared.recomputation import Recomputation
from ..shared.weights.weight_patches import call_with
from .taps import Forward, hooked

TEXT_ENTRY = "txt_in.weight"
"""The one weight by which text enters, as FLUX's own layout, erasures and LoRA files call it."""

ENTRY_NAMES: Mapping[str, str] = {TEXT_ENTRY: "context_embedder.weight"}
"""To diffusers' names."""

PICTURE_ROLES: Mapping[str, Role] = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "out"}
TEXT_ROLES: Mapping[str, Role] = {
    "add_q_proj": "query",
    "add_k_proj": "key",
    "add_v_proj": "value",
    "to_add_out": "out",
}
"""Layers of a block with two streams; blocks with one stream have the first three, for text and picture together."""


def velocity(
    transformer: Any,
    latent: Tensor,
    level: Tensor,
    context: Tensor,
    tensors: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """What the model predicts: ``noise - clean``.

    Args:
        transformer: of patch size 1; its pooled text is left at zeros.
        latent: (B, C, h, w) with noise.
        level: (B,) share of noise, 0..1.
        context: (B, L, D) text.
        tensors: what replaces tensors of the model in this call, by name.

    Returns:
        (B, C, h, w).
    """
    batch, _, height, width = latent.shape
    pooled = latent.new_zeros(batch, transformer.config.pooled_projection_dim)
    rows = call_with(
        transformer,
        dict(tensors or {}),
        latent.flatten(2).transpose(1, 2),  # (B, h * w, C)
        encoder_hidden_states=context,
        pooled_projections=pooled,
        timestep=level,
        img_ids=picture_positions(height, width, latent.device),
        txt_ids=latent.new_zeros(context.shape[1], 3),
        return_dict=False,
    )[0]
    return rows.transpose(1, 2).unflatten(2, (height, width))


def picture_positions(height: int, width: int, device: torch.device) -> Tensor:
    """(h * w, 3) positions (0, row, column) in reading order; text rows all stand at (0, 0, 0)."""
    rows = torch.arange(height, device=device, dtype=torch.float32)
    columns = torch.arange(width, device=device, dtype=torch.float32)
    return nn.functional.pad(torch.cartesian_prod(rows, columns), (1, 0))


def find_joint_sites(transformer: Any) -> tuple[AttentionSite, ...]:
    """Every attention layer in the order they run, named by module path."""
    return tuple(
        AttentionSite(f"{kind}.{index}.attn", "joint", None, block.attn.heads, 1)
        for kind in ("transformer_blocks", "single_transformer_blocks")
        for index, block in enumerate(getattr(transformer, kind))
    )


def find_joint_weights(transformer: Any) -> tuple[AttentionWeight, ...]:
    """The projections of every attention layer in the order they run, the picture's before the text's.

    The projection behind the heads of a block with one stream is not among them: it is one matrix with the block's
    second layer.
    """
    found = []
    for site in find_joint_sites(transformer):
        weights = dict(transformer.get_submodule(site.name).named_parameters())
        for layer, role in {**PICTURE_ROLES, **TEXT_ROLES}.items():
            if f"{layer}.weight" in weights:
                rows, columns = weights[f"{layer}.weight"].shape
                found.append(AttentionWeight(f"{site.name}.{layer}.weight", "joint", role, (rows, columns)))
    return tuple(found)


@contextmanager
def tapped_jointly(
    transformer: Any,
    sites: Sequence[AttentionSite],
    tap: Tap,
    forward: Callable[[], Forward],
    blocks: Recomputation,
) -> Iterator[None]:
    """Within the context ``tap`` is called twice beside each site, for the text as keys and for the picture; all hooks
    are gone afterwards, whatever happens. ``forward`` returns the description of the pass that is running; ``blocks``
    keeps the tap from what is computed a second time."""
    with hooked(_listen(transformer.get_submodule(site.name), site, tap, forward, blocks) for site in sites):
        yield


def _listen(
    layer: Any, site: AttentionSite, tap: Tap, forward: Callable[[], Forward], blocks: Recomputation
) -> list[RemovableHandle]:
    if layer.fused_projections:
        raise ValueError(f"{site.name} has fused projections; call unfuse_qkv_projections() before recording")
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            if not blocks.silent:
                seen[name] = output

        return hook

    def call_tap(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if blocks.silent:
            return
        kept, rotation, running = dict(seen), kwargs["image_rotary_emb"], forward()
        seen.clear()

        def hand_out() -> None:
            query, key = (turned(kept, name, rotation) for name in ("q", "k"))
            for call in _views(site, query, key, running):
                tap(call)

        blocks.notify(hand_out)  # after the block: what is computed here is not computed a second time

    names = {"q": "norm_q", "k": "norm_k", "text_q": "norm_added_q", "text_k": "norm_added_k"}
    norms = {name: getattr(layer, norm) for name, norm in names.items() if hasattr(layer, norm)}
    handles = [norm.register_forward_hook(keep(name)) for name, norm in norms.items()]
    return [*handles, layer.register_forward_hook(call_tap, with_kwargs=True)]


def turned(seen: Mapping[str, Tensor], name: str, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys (B, heads, n, d) of text and picture, turned by their positions."""
    from diffusers.models.embeddings import apply_rotary_emb

    text = seen.get(f"text_{name}")
    rows = seen[name] if text is None else torch.cat([text, seen[name]], dim=1)  # (B, n, heads, d)
    return apply_rotary_emb(rows, rotation, sequence_dim=1).transpose(1, 2)


def _views(site: AttentionSite, query: Tensor, key: Tensor, forward: Forward) -> tuple[AttentionCall, AttentionCall]:
    grid = site.grid(forward.latent_size)
    rows = query.shape[2]
    length = rows - grid[0] * grid[1]  # of the text
    if length < 1:
        raise ValueError(f"{site.name} has {rows} rows, expected text and a grid of {grid[0]}x{grid[1]}")
    text = AttentionCall(
        site=site,
        query=query[:, :, length:],  # (B, heads, h * w, d)
        key=key,
        scale=query.shape[-1] ** -0.5,
        grid=grid,
        conditional=forward.conditional,
        timestep=forward.timestep,
        view="cross",
        columns=slice(0, length),
    )
    return text, replace(text, view="self", columns=slice(length, rows))
