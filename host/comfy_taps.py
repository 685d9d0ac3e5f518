"""Listening to queries and keys of a ComfyUI UNet, by options that are passed to it. Its output stays bit-identical.

Three attachment points are needed. The attention override sees queries and keys, but not whose they are: the block's
own patch list, which runs just before, tells it. Blocks whose attention another pack replaces (IPAdapter and its like)
may not come by the override at all: there the replacement is wrapped. Whatever was there before is kept and called.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ..core.attention.selection import Grid, Kind
from ..core.backbone import AttentionSite
from .comfy_sites import BlockKey, SiteKey

Hear = Callable[[AttentionSite, Tensor, Tensor, Grid], None]
"""Called with a site, its query (rows, heads, h*w, d), key (rows, heads, M, d) and the grid (h, w) of the queries."""

OVERRIDE = "optimized_attention_override"
_PATCH: Mapping[Kind, str] = {"self": "attn1_patch", "cross": "attn2_patch"}
_REPLACE: Mapping[Kind, str] = {"self": "attn1", "cross": "attn2"}


def listened(options: Mapping[str, Any], sites: Mapping[SiteKey, AttentionSite], hear: Hear) -> dict[str, Any]:
    """A copy of ``transformer_options`` with which a UNet calls ``hear`` beside each of the sites.

    Layers whose queries do not lie on a grid (merged or rearranged tokens) are not heard. State lives in closures of
    this call alone: make new options for each run.
    """
    ear = _Ear(sites, hear, options.get(OVERRIDE))
    kinds = list(dict.fromkeys(kind for kind, _ in sites))
    patches = {name: list(entries) for name, entries in options.get("patches", {}).items()}
    replaced = {name: dict(entries) for name, entries in options.get("patches_replace", {}).items()}
    for kind in kinds:
        patches.setdefault(_PATCH[kind], []).append(ear.announce(kind))
        for block, replacement in replaced.get(_REPLACE[kind], {}).items():
            replaced[_REPLACE[kind]][block] = ear.around(kind, replacement)
    return {**options, "patches": patches, "patches_replace": replaced, OVERRIDE: ear.override}


class _Ear:
    def __init__(self, sites: Mapping[SiteKey, AttentionSite], hear: Hear, previous: Callable[..., Any] | None) -> None:
        self._sites, self._hear, self._previous = sites, hear, previous
        self._next: SiteKey | None = None

    def announce(self, kind: Kind) -> Callable[..., tuple[Any, Any, Any]]:
        """A patch that changes nothing and remembers which layer comes next."""

        def patch(query: Any, context: Any, value: Any, extra_options: Mapping[str, Any]) -> tuple[Any, Any, Any]:
            block = _block_of(extra_options)
            self._next = None if block is None else (kind, block)
            return query, context, value

        return patch

    def around(self, kind: Kind, replacement: Callable[..., Any]) -> Callable[..., Any]:
        """A replaced attention, heard."""

        def heard(query: Tensor, key: Tensor, value: Tensor, extra_options: Any, *args: Any, **kwargs: Any) -> Any:
            self._next = None  # what the replacement computes inside is its own affair
            block = _block_of(extra_options)
            if block is not None:
                self._report((kind, block), query, key, extra_options)
            return replacement(query, key, value, extra_options, *args, **kwargs)

        return heard

    def override(self, attention: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """An ``optimized_attention_override``."""
        coming, self._next = self._next, None
        options = kwargs.get("transformer_options") or {}
        if coming is not None and len(args) > 1 and coming[1] == _block_of(options):
            self._report(coming, args[0], args[1], options)
        if self._previous is not None:
            return self._previous(attention, *args, **kwargs)
        return attention(*args, **kwargs)

    def _report(self, key: SiteKey, query: Tensor, keys: Tensor, options: Mapping[str, Any]) -> None:
        site, shape = self._sites.get(key), options.get("activations_shape")
        if site is None or shape is None:
            return
        grid = (int(shape[-2]), int(shape[-1]))
        query, keys = _heads_apart(query, site.heads), _heads_apart(keys, site.heads)
        if grid[0] * grid[1] == query.shape[2]:
            self._hear(site, query, keys, grid)


def _block_of(options: Mapping[str, Any]) -> BlockKey | None:
    block = options.get("block")
    return None if block is None else (block[0], block[1], options.get("block_index", 0))


def _heads_apart(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads*d), or apart already, to (B, heads, N, d)."""
    return x if x.ndim == 4 else x.unflatten(-1, (heads, -1)).transpose(1, 2)
