"""Reading queries and keys of a diffusion transformer in ComfyUI, by its attention override. Its output stays
bit-identical unless it is edited, and no other patch is set: fused kernels and caches stay on.

An override is given the type and the number of the block, in most families. Which call of the block it is, and where
text and picture lie in it, follows from the numbers of rows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import AttentionCall, AttentionInputs, AttentionSite, EditedOutput
from ..attention.overrides import OVERRIDE, Listener, override_of
from .sites import BEFORE, CallKey, Preference, Rows

OnCall = Callable[[AttentionCall], None]
"""Called with every view of every site, all rows of the running call, timestep unknown."""

OnText = Callable[[Tensor, Tensor, Tensor, float, Rows], list[tuple[slice, Tensor]]]
"""Called with queries, keys and values (B, heads, T, d) of a layer that mixes rows of the text before the picture joins
them, the factor before the softmax, and where rows lie; gives another output for rows that lie together."""

OnInputs = Callable[[AttentionInputs], list[tuple[slice, Tensor | EditedOutput]]]
"""Called with all rows of a site; gives another output (rows, heads, N, d) for rows that lie together."""


class TransformerListener(Listener[CallKey]):
    """Listens to one model. Tell it of each forward pass by :meth:`begin`; before that, nothing is reported.

    Args:
        table: every attention call of the model, see :func:`~.sites.site_table`.
        wanted: names of the sites to report.
        on_call: called for each view of them.
        preferred: see :class:`~..attention.overrides.Listener`.
        previous: the override that was there before.
        on_inputs: may edit what each of the sites gives.
        on_text: may edit what the calls before the blocks give that mix rows of the text alone.
        text_calls: which calls those are, see :func:`~.sites.text_calls`.
    """

    def __init__(
        self,
        table: Mapping[CallKey, AttentionSite],
        wanted: Sequence[str],
        on_call: OnCall | None,
        preferred: Mapping[CallKey, Preference],
        previous: Callable[..., Any] | None = None,
        on_inputs: OnInputs | None = None,
        on_text: OnText | None = None,
        text_calls: range = range(0),
    ) -> None:
        super().__init__(previous, preferred)
        self._on_inputs, self._on_text, self._text_calls = on_inputs, on_text, text_calls
        self._table, self._wanted, self._on_call = table, set(wanted), on_call
        self._kinds = {kind for kind, _, _ in table}
        self._calls_per_block = 1 + max(call for _, _, call in table)
        self._joint = any(site.kind == "joint" for site in table.values())
        self._missed: dict[str, None] = {}
        self._rows: Rows | None = None
        self._count = self._before = 0
        self.begin(None)

    @property
    def missed(self) -> tuple[str, ...]:
        """Why something was not reported, for people."""
        return tuple(self._missed)

    @property
    def started(self) -> bool:
        """Whether a block of the running pass has begun."""
        return self._count > 0

    def begin(self, rows: Rows | None, options: Mapping[str, Any] | None = None) -> None:
        """A forward pass begins, with these ``transformer_options``; None when it is over."""
        if self._rows is not None and rows is None and not self._count and not self._missed:
            self._missed["this ComfyUI computes the attention of this model where it cannot be recorded"] = None
        self._rows, self._count, self._before, self._block = rows, 0, 0, ("", -1, 0)
        self._replaced = bool((options or {}).get("patches_replace", {}).get("dit"))

    def listen(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CallKey | None:
        self.elsewhere = None
        if self._rows is None or len(args) < 2:
            return None
        heads: Any = args[3] if len(args) > 3 else kwargs.get("heads")
        query, keys = (_heads_apart(one, heads, kwargs.get("skip_reshape", False)) for one in args[:2])
        options = kwargs.get("transformer_options") or {}
        if not self._is_ours(query.shape[2], keys.shape[2], options):
            self.elsewhere = self._other_key(options)
            return self._text_key(query.shape[2], keys.shape[2])
        key = self._key(options)
        site = None if key is None else self._table.get(key)
        if site is not None and site.name in self._wanted and self._on_call is not None:
            mask = args[4] if len(args) > 4 else kwargs.get("mask")
            self._report(site, query, _repeated(keys, query.shape[1]), mask)
        return key

    def edited(self, layer: CallKey, args: Sequence[Any], kwargs: Mapping[str, Any], output: Tensor) -> Tensor:
        site, rows = self._table.get(layer), self._rows
        of_text = layer[0] == BEFORE and self._on_text is not None
        wanted = site is not None and self._on_inputs is not None and site.name in self._wanted
        if rows is None or not (of_text or wanted):
            return output
        heads: Any = args[3] if len(args) > 3 else kwargs.get("heads")
        apart = [_heads_apart(one, heads, kwargs.get("skip_reshape", False)) for one in args[:3]]
        query, keys, value = apart[0], *(_repeated(one, apart[0].shape[1]) for one in apart[1:])
        if self._on_text is not None and of_text:
            return _put(output, self._on_text(query, keys, value, query.shape[-1] ** -0.5, rows))
        assert site is not None and self._on_inputs is not None
        joint = site.kind == "joint"
        call = AttentionCall(
            site,
            query,
            keys,
            query.shape[-1] ** -0.5,
            rows.grid,
            (True,) * len(query),
            view="self" if joint else None,
            columns=rows.columns["self"] if joint else None,
            bias=_bias(args[4] if len(args) > 4 else kwargs.get("mask"), slice(None)),
        )
        return _put(output, self._on_inputs(AttentionInputs(call, value, text=rows.context if joint else None)))

    def _text_key(self, queries: int, keys: int) -> CallKey | None:
        """The key of a call before the blocks that mixes rows of the text alone; None for another."""
        rows, key = self._rows, self.elsewhere
        assert rows is not None and key is not None
        ours = key[0] == BEFORE and key[2] in self._text_calls and queries == keys == rows.text
        return key if ours else None

    def _other_key(self, options: Mapping[str, Any]) -> CallKey:
        """The key of a call that is not reported: its number before the blocks, or its block and the call in it."""
        running, call = self._block[:2], self._block[2] + 1
        if options.get("block_index") is not None:
            named = (self._kind(options), options["block_index"])
            return (*named, call if named == running else 0)
        if self._count:
            return (*running, call)
        self._before += 1
        return BEFORE, -1, self._before - 1

    def _kind(self, options: Mapping[str, Any]) -> str:
        """The type of the running block."""
        kind = str(options.get("block_type", ""))
        return kind if kind in self._kinds else next(iter(self._kinds))

    def _is_ours(self, queries: int, keys: int, options: Mapping[str, Any]) -> bool:
        """Whether these are the rows of a block, and not of a refiner or of another layer."""
        rows = self._rows
        assert rows is not None
        if not self._joint:
            return queries == rows.cells
        if rows.refined and options.get("block_index") is None:
            return False  # a refiner, which may have as many rows as a block where reference pictures go through it
        references = sum(options.get("reference_image_num_tokens", ()))
        expected = rows.text + rows.picture + references
        if queries == keys and queries > expected:
            self._missed[
                "the sequence has rows that this pack does not know: those of reference pictures of Z-Image, or what "
                "another node or pack puts there"
            ] = None
        return queries == keys == expected

    def _key(self, options: Mapping[str, Any]) -> CallKey | None:
        number, kind = options.get("block_index"), self._kind(options)
        if number is None and self._replaced:
            self._missed["another node replaces blocks, and this model does not say which block runs"] = None
            return None
        if number is None:
            number = self._count // self._calls_per_block
        self._count += 1
        before = self._block
        self._block = (kind, number, before[2] + 1 if before[:2] == (kind, number) else 0)
        return self._block

    def _report(self, site: AttentionSite, query: Tensor, keys: Tensor, mask: Tensor | None) -> None:
        rows = self._rows
        assert rows is not None and self._on_call is not None
        start = rows.text if site.kind == "joint" else 0
        query = query[:, :, start : start + rows.cells]
        scale, conditional = query.shape[-1] ** -0.5, (True,) * len(query)
        bias = _bias(mask, slice(start, start + rows.cells))
        if site.kind != "joint":
            self._on_call(AttentionCall(site, query, keys, scale, rows.grid, conditional, bias=bias))
            return
        for view, columns in rows.columns.items():
            self._on_call(
                AttentionCall(site, query, keys, scale, rows.grid, conditional, None, view, columns, bias)  # type: ignore[arg-type]
            )


def with_listener(options: Mapping[str, Any], listener: TransformerListener, edits: bool = False) -> dict[str, Any]:
    """A copy of ``transformer_options`` with which a transformer's attention goes by the listener."""
    return {**options, OVERRIDE: override_of(listener, options.get(OVERRIDE), edits)}


def _put(output: Tensor, found: Sequence[tuple[slice, Tensor | EditedOutput]]) -> Tensor:
    """An output (B, N, heads * d), or with heads apart, with what was found in its rows."""
    result = output.clone() if found else output
    for part, changed in found:
        heads = EditedOutput.of(changed).heads
        result[part] = (heads if output.ndim == 4 else heads.transpose(1, 2).flatten(2)).to(output.dtype)
    return result


def _heads_apart(x: Tensor, heads: int, apart: bool) -> Tensor:
    """(B, heads, N, d) of (B, N, heads * d), (B, N, heads, d) or, where they are ``apart``, (B, heads, N, d)."""
    if x.ndim == 3:
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)
    return x if apart else x.transpose(1, 2)


def _repeated(keys: Tensor, heads: int) -> Tensor:
    """Keys (B, heads, M, d) where several heads of the query share one."""
    return keys if keys.shape[1] == heads else keys.repeat_interleave(heads // keys.shape[1], dim=1)


def _bias(mask: Tensor | None, rows: slice) -> Tensor | None:
    """What ComfyUI's mask (N, M), (B, N or 1, M) or (B, heads, N, M) adds to the logits of the picture's rows."""
    if mask is None:
        return None
    if mask.ndim == 2:
        mask = mask[None, None]
    elif mask.ndim == 3:
        mask = mask[:, None]
    if mask.shape[-2] > 1:
        mask = mask[..., rows, :]
    if mask.dtype == torch.bool:
        return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)
    return mask.float()
