"""Rows of text for concepts beside a prompt's, in ComfyUI: an attention override gives them an attention of their own.

They stand behind the prompt's rows, so that each block takes them through the text's own weights. What the picture and
the prompt read stays what it was; only their linear layers see more rows at once, which may round otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ....core.attribute.concept_attention import ConceptCall, ConceptRows, ConceptTap, attend_beside
from ....core.backbone import AttentionSite
from ..attention.overrides import OVERRIDE, Listener, override_of
from .sites import CallKey, Preference, Rows
from .taps import TransformerListener


class ConceptListener(Listener[CallKey]):
    """Runs concepts beside the text of one model. Tell it of each forward pass by :meth:`begin`.

    Args:
        table: every attention call of the model, see :func:`~.sites.site_table`.
        wanted: names of the sites to report.
        on_call: called beside them.
        concepts: the rows, which :meth:`extended` puts behind a context.
        preferred: see :class:`~..attention.overrides.Listener`.
        previous: the override that was there before. It sees the rows that there are without concepts.
    """

    def __init__(
        self,
        table: Mapping[CallKey, AttentionSite],
        wanted: Sequence[str],
        on_call: ConceptTap,
        concepts: ConceptRows,
        preferred: Mapping[CallKey, Preference],
        previous: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(previous, preferred)
        self._blocks = TransformerListener(table, (), lambda call: None, {})
        self._sites = {key: site for key, site in table.items() if site.name in set(wanted)}
        self._on_call, self._concepts = on_call, concepts
        self._rows: Rows | None = None
        self._batch = 0

    def extended(self, context: Tensor) -> Tensor:
        """A context (B, L, D) with the concepts' rows behind it."""
        return torch.cat([context, self._concepts.rows.to(context).expand(len(context), -1, -1)], 1)

    def placed(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The inputs of the first block, concepts at the position of the last row of text: some models count rows."""
        positions, count = inputs["txt_ids"].clone(), len(self._concepts.rows)
        positions[:, -count:] = positions[:, -count - 1 : -count]
        return {**inputs, "txt_ids": positions}

    def begin(self, rows: Rows | None, batch: int = 0) -> None:
        """A forward pass begins, with these rows beside the concepts'; None when it is over."""
        self._rows, self._batch = rows, batch
        self._blocks.begin(None if rows is None else replace(rows, text=rows.text + len(self._concepts.rows)))

    def compute(self, attention: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        key = self._blocks.listen(args, kwargs)
        self.elsewhere = self._blocks.elsewhere
        attend = partial(self._attend, attention, key, args[3:], kwargs)
        axis = 2 if args[0].ndim == 4 and kwargs.get("skip_reshape", False) else 1
        if key is not None:
            return self._beside(attend, key, args[:3], axis)
        if self._is_text(args[0], axis):
            return self._apart(attend, args[:3], axis)
        return self.run(None, attention, *args, **kwargs)

    def _beside(self, attend: Callable[..., Tensor], key: CallKey, tensors: Sequence[Tensor], axis: int) -> Tensor:
        """The attention of a block over text, concepts, picture and references."""
        assert self._rows is not None
        text, cells, count = self._rows.text, self._rows.cells, len(self._concepts.rows)
        concepts, picture = slice(text, text + count), slice(text + count, text + count + cells)
        query, keys, values = tensors
        others, own = attend_beside(attend, query, keys, values, concepts, picture, axis)  # (B, n, D), (B, C, D)
        site = self._sites.get(key)
        if site is not None:
            seen = others[:, text : text + cells]
            self._on_call(ConceptCall(site, seen, own, self._rows.grid, (True,) * len(own)))
        return torch.cat([others[:, :text], own, others[:, text:]], 1)

    def _apart(self, attend: Callable[..., Tensor], tensors: Sequence[Tensor], axis: int) -> Tensor:
        """The attention of text alone: the prompt reads itself and each concept itself, as if encoded by itself."""
        assert self._rows is not None
        sizes = [self._rows.text, *self._concepts.counts]
        parts = zip(*(one.split(sizes, axis) for one in tensors), strict=True)
        return torch.cat([attend(*part) for part in parts], 1)

    def _is_text(self, query: Tensor, axis: int) -> bool:
        """Whether these are the rows of the text, as it is refined before the blocks."""
        if self._rows is None or self._blocks.started:
            return False
        return len(query) == self._batch and query.shape[axis] == self._rows.text + len(self._concepts.rows)

    def _attend(
        self,
        attention: Callable[..., Tensor],
        key: CallKey | None,
        rest: Sequence[Any],
        kwargs: Mapping[str, Any],
        query: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Attention of some of the rows. A block's mask is as large as its rows without concepts, and theirs alone."""
        if key is None or query.shape != keys.shape:
            rest = [None if at == 1 else one for at, one in enumerate(rest)]
            kwargs = {**kwargs, "mask": None} if "mask" in kwargs else kwargs
        return self.run(key, attention, query, keys, values, *rest, **kwargs)


def with_concepts(options: Mapping[str, Any], listener: ConceptListener) -> dict[str, Any]:
    """A copy of ``transformer_options`` in which concepts run beside the text."""
    patches = {name: list(entries) for name, entries in options.get("patches", {}).items()}
    patches.setdefault("post_input", []).append(listener.placed)
    return {**options, OVERRIDE: override_of(listener, None), "patches": patches}
