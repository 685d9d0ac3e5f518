"""Reading queries and keys of a ComfyUI UNet, by options that are passed to it. Its output stays bit-identical.

Three attachment points are needed. The attention override sees queries and keys, but not whose they are: the block's
own patch list, which runs just before, names it. Blocks whose attention another pack replaces (IPAdapter and its like)
may not come by the override at all: there the replacement is wrapped. Whatever was there before is kept and called.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from ....core.attention.selection import Grid, Kind
from ....core.backbone import AttentionCall, AttentionInputs, AttentionSite, EditedOutput
from .overrides import OVERRIDE, Listener, override_of
from .sites import BlockKey, Preference, SiteKey

OnAttention = Callable[[AttentionSite, Tensor, Tensor, Grid], None]
"""Called with a site, its query (rows, heads, h*w, d), key (rows, heads, M, d) and the grid (h, w) of the queries."""

OnInputs = Callable[[AttentionInputs], list[tuple[slice, Tensor | EditedOutput]]]
"""Called with all rows of a layer; gives another output (rows, heads, N, d) for rows that lie together."""

_PATCH: Mapping[Kind, str] = {"self": "attn1_patch", "cross": "attn2_patch"}
_REPLACE: Mapping[Kind, str] = {"self": "attn1", "cross": "attn2"}
_BEHIND: Mapping[Kind, str] = {"self": "attn1_output_patch", "cross": "attn2_output_patch"}


def with_listener(
    options: Mapping[str, Any],
    sites: Mapping[SiteKey, AttentionSite],
    on_attention: OnAttention | None = None,
    preferred: Mapping[SiteKey, Preference] | None = None,
    on_inputs: OnInputs | None = None,
) -> dict[str, Any]:
    """A copy of ``transformer_options`` with which a UNet calls ``on_attention`` beside each of the sites.

    Layers whose queries do not lie on a grid (merged or rearranged tokens) are left out. State lives in closures of
    this call alone: make new options for each run.

    Args:
        options: what there is; replacements, patches and an override in it are kept and called.
        sites: the layers to read.
        on_attention: called for each of them.
        preferred: layers that may compute with an attention of their own, which an override would make ComfyUI leave
            out (:func:`~.sites.preferred_attention`).
        on_inputs: may edit what each of the sites gives.
    """
    own, previous = dict(preferred or {}), options.get(OVERRIDE)
    listener = _AttentionListener(sites, on_attention, previous, own, on_inputs)
    patches = {name: list(entries) for name, entries in options.get("patches", {}).items()}
    replaced = {name: dict(entries) for name, entries in options.get("patches_replace", {}).items()}
    for kind in dict.fromkeys(kind for kind, _ in (*sites, *own)):
        patches.setdefault(_PATCH[kind], []).append(listener.announce(kind))
        if on_inputs is not None:
            patches.setdefault(_BEHIND[kind], []).insert(0, listener.behind(kind))
        for block, replacement in replaced.get(_REPLACE[kind], {}).items():
            replaced[_REPLACE[kind]][block] = listener.around(kind, replacement)
    override = override_of(listener, previous, edits=on_inputs is not None)
    return {**options, "patches": patches, "patches_replace": replaced, OVERRIDE: override}


class _AttentionListener(Listener[SiteKey]):
    def __init__(
        self,
        sites: Mapping[SiteKey, AttentionSite],
        on_attention: OnAttention | None,
        previous: Callable[..., Any] | None,
        preferred: Mapping[SiteKey, Preference],
        on_inputs: OnInputs | None = None,
    ) -> None:
        super().__init__(previous, preferred)
        self._sites, self._on_attention, self._on_inputs = sites, on_attention, on_inputs
        self._next: SiteKey | None = None
        self._sources: tuple[SiteKey | None, tuple[Any, Any, Any]] = (None, (None, None, None))
        self._added: dict[SiteKey, list[tuple[slice, Tensor]]] = {}

    def announce(self, kind: Kind) -> Callable[..., tuple[Any, Any, Any]]:
        """A patch that changes nothing and remembers which layer comes next, and what it computes from."""

        def patch(query: Any, context: Any, value: Any, extra_options: Mapping[str, Any]) -> tuple[Any, Any, Any]:
            block = _block_of(extra_options)
            self._next = None if block is None else (kind, block)
            if self._on_inputs is not None:
                self._sources = (self._next, (query, context, context if value is None else value))
            return query, context, value

        return patch

    def behind(self, kind: Kind) -> Callable[..., Tensor]:
        """A patch behind a layer's projection that adds what an edit gave to be added there."""

        def patch(output: Tensor, extra_options: Mapping[str, Any]) -> Tensor:
            block = _block_of(extra_options)
            added = [] if block is None else self._added.pop((kind, block), [])
            result = output.clone() if added else output
            for rows, more in added:
                result[rows] += more.to(output.dtype)
            return result

        return patch

    def around(self, kind: Kind, replacement: Callable[..., Any]) -> Callable[..., Any]:
        """A replaced attention, whose query and key are reported."""

        def reporting(query: Tensor, key: Tensor, value: Tensor, extra_options: Any, *args: Any, **kwargs: Any) -> Any:
            self._next = None  # what the replacement computes inside is its own affair
            block = _block_of(extra_options)
            if block is not None:
                self._report((kind, block), query, key, extra_options)
            output = replacement(query, key, value, extra_options, *args, **kwargs)
            return output if block is None else self._put((kind, block), (query, key, value), extra_options, output)

        return reporting

    def listen(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> SiteKey | None:
        """Report a layer's query and key, and say which layer it is; None where that is not known."""
        coming, self._next = self._next, None
        options = kwargs.get("transformer_options") or {}
        if coming is None or len(args) < 2 or coming[1] != _block_of(options):
            return None
        self._report(coming, args[0], args[1], options)
        return coming

    def edited(self, layer: SiteKey, args: Sequence[Any], kwargs: Mapping[str, Any], output: Tensor) -> Tensor:
        return self._put(layer, args[:3], kwargs.get("transformer_options") or {}, output)

    def _report(self, key: SiteKey, query: Tensor, keys: Tensor, options: Mapping[str, Any]) -> None:
        if self._on_attention is not None:
            seen = self._seen(key, (query, keys), options)
            if seen is not None:
                site, grid, (query, keys) = seen
                self._on_attention(site, query, keys, grid)

    def _put(self, key: SiteKey, parts: Sequence[Tensor], options: Mapping[str, Any], output: Tensor) -> Tensor:
        """An output (B, N, heads * d), or with heads apart, with what an edit gives in its place."""
        seen = None if self._on_inputs is None else self._seen(key, parts, options)
        if self._on_inputs is None or seen is None or len(parts) < 3:
            return output
        site, grid, (query, keys, value) = seen
        call = AttentionCall(site, query, keys, query.shape[-1] ** -0.5, grid, (True,) * len(query))
        (of, sources), self._sources = self._sources, (None, (None, None, None))
        found = self._on_inputs(AttentionInputs(call, value, sources if of == key else None))
        result = output.clone() if found else output
        self._added.pop(key, None)
        for rows, changed in found:
            heads, behind = EditedOutput.of(changed).heads, EditedOutput.of(changed).behind
            result[rows] = (heads if output.ndim == 4 else heads.transpose(1, 2).flatten(2)).to(output.dtype)
            if behind is not None:
                self._added.setdefault(key, []).append((rows, behind))
        return result

    def _seen(
        self, key: SiteKey, parts: Sequence[Tensor], options: Mapping[str, Any]
    ) -> tuple[AttentionSite, Grid, list[Tensor]] | None:
        """The site, its grid, and queries, keys (and values) with heads apart; None for what lies on no grid."""
        site, shape = self._sites.get(key), options.get("activations_shape")
        if site is None or shape is None:
            return None
        grid = (int(shape[-2]), int(shape[-1]))
        apart = [_heads_apart(part, site.heads) for part in parts]
        return (site, grid, apart) if grid[0] * grid[1] == apart[0].shape[2] else None


def _block_of(options: Mapping[str, Any]) -> BlockKey | None:
    block = options.get("block")
    return None if block is None else (block[0], block[1], options.get("block_index", 0))


def _heads_apart(x: Tensor, heads: int) -> Tensor:
    """(B, N, heads*d), or apart already, to (B, heads, N, d)."""
    return x if x.ndim == 4 else x.unflatten(-1, (heads, -1)).transpose(1, 2)
