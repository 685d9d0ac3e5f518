"""One pass of a diffusion transformer (:class:`~..passes.Denoiser`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ....core.attribute.concept_attention import ConceptRows, ConceptTap
from ....core.backbone import AttentionCall, AttentionKind, AttentionSite, Conditioning, Tap
from ....core.schedule import Schedule
from ...shared.errors import UnsupportedModelError
from ...shared.families import FAMILIES, no_concepts
from ..gradients import differentiable_kernels, saving_copies, wants_gradients
from ..latents import reads_frames
from ..noise import FlowLevels
from ..passes import EditedSites, TappedSites, as_editor, run
from .concepts import ConceptListener, with_concepts
from .sites import CallKey, Preference, default_sites, preferred_attention, record_of, rows_of, site_table
from .taps import OVERRIDE, TransformerListener, with_listener


class TransformerDenoiser:
    """A diffusion transformer of one of the families."""

    def __init__(self, patcher: Any, family: str, beside: Mapping[str, Any] | None = None) -> None:
        self._patcher, self._family, self._given = patcher, FAMILIES[family], beside or {}
        self._listeners: list[TransformerListener] = []
        self._editing: list[TransformerListener] = []
        self.measured = False
        self._concepts: tuple[ConceptTap, ConceptRows, tuple[str, ...]] | None = None
        self._beside: ConceptListener | None = None

    @cached_property
    def levels(self) -> FlowLevels:
        """Its noise levels."""
        return FlowLevels(self._patcher.get_model_object("model_sampling"))

    @property
    def schedule(self) -> Schedule:
        return self.levels.schedule

    @property
    def sigmas(self) -> Tensor:
        return self.levels.sigmas

    def sites(self) -> tuple[AttentionSite, ...]:
        return tuple(self._table.values())

    def noisy(self, latent: Tensor, levels: Tensor) -> Tensor:
        return latent

    def noise(self, noisy: Tensor, clean: Tensor, levels: Tensor) -> Tensor:
        return (noisy - (1 - levels) * clean) / levels

    def target(self, noisy: Tensor, clean: Tensor, levels: Tensor) -> Tensor:
        return (noisy - clean) / levels

    def apply(
        self, patcher: Any, noisy: Tensor, sigma: Tensor, conditioning: Conditioning, options: dict[str, Any]
    ) -> Tensor:
        frames = reads_frames(patcher)
        latent = noisy.unsqueeze(2) if frames else noisy  # (B, C, 1, h, w) where a latent may be a film
        inputs = model_inputs(patcher.model, latent, conditioning, self._given)
        sizes = (noisy.shape[-2], noisy.shape[-1]), inputs["c_crossattn"].shape[1], conditioning.context.shape[1]
        rows = rows_of(self._family, self._patcher.get_model_object("diffusion_model"), *sizes)
        for listener in (*self._listeners, *self._editing):
            listener.begin(rows)
        if self._beside is not None:
            self._beside.begin(rows, len(noisy))
            inputs["c_crossattn"] = self._beside.extended(inputs["c_crossattn"])
        with _differentiable(self.measured):
            clean = run(patcher, latent, sigma, inputs, options)
        return clean.squeeze(2) if frames else clean

    def with_taps(self, options: Mapping[str, Any], taps: Sequence[TappedSites], time: float | None) -> dict[str, Any]:
        changed, self._listeners = dict(options), []
        for tap, names in reversed(taps):  # the listener that is set last is called first
            listener = TransformerListener(
                self._table, tuple(names), _at(tap, time), self._preferred, changed.get(OVERRIDE)
            )
            changed = with_listener(changed, listener)
            self._listeners.append(listener)
        self._beside = None
        if self._concepts is None:
            return changed
        on_call, rows, wanted = self._concepts
        before = changed.get(OVERRIDE)
        self._beside = ConceptListener(self._table, wanted, on_call, rows, self._preferred, before)
        return with_concepts(changed, self._beside)

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        """The sites that are read unless others are asked for."""
        names = default_sites(self._family, self._patcher.get_model_object("diffusion_model"), view)
        return tuple(site for site in self.sites() if site.name in names)

    @contextmanager
    def with_concepts(self, tap: ConceptTap, concepts: ConceptRows, sites: Sequence[AttentionSite]) -> Iterator[None]:
        """Within the context concepts run beside the text of every pass.

        Raises :class:`~...shared.errors.UnsupportedModelError` for families beside whose text none can run.
        """
        if not record_of(self._family).concepts:
            raise UnsupportedModelError(no_concepts(self._family.name))
        before, self._concepts = self._concepts, (tap, concepts, tuple(site.name for site in sites))
        try:
            yield
        finally:
            self._concepts = before

    def with_edits(
        self, options: Mapping[str, Any], edits: Sequence[EditedSites], time: float | None
    ) -> dict[str, Any]:
        changed, self._editing = dict(options), []
        for edit, names in edits:
            on_inputs = as_editor(edit, time)
            before = changed.get(OVERRIDE)
            listener = TransformerListener(self._table, tuple(names), None, self._preferred, before, on_inputs)
            changed = with_listener(changed, listener, edits=True)
            self._editing.append(listener)
        return changed

    @cached_property
    def _table(self) -> Mapping[CallKey, AttentionSite]:
        return site_table(self._family, self._patcher.get_model_object("diffusion_model"))

    @cached_property
    def _preferred(self) -> Mapping[CallKey, Preference]:
        return preferred_attention(self._family, self._patcher.get_model_object("diffusion_model"))


def model_inputs(
    model: Any, noisy: Tensor, conditioning: Conditioning, beside: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What ``apply_model`` is given, as the model's own ``extra_conds`` makes it of a conditioning and of options
    beside its text.

    Where a model reads one text for all pictures of a pass, its adapter takes one row of the context at a time.
    """
    rows = len(conditioning.context)
    if conditioning.one_text and rows > 1:
        each = [model_inputs(model, noisy[[row]], conditioning.row(row), beside) for row in range(rows)]
        return {name: torch.cat([one[name] for one in each]) for name in each[0]}
    conds = model.extra_conds(
        cross_attn=conditioning.context.to(noisy.device),
        noise=noisy,
        device=noisy.device,
        prompt_type="positive",
        **{"pooled_output": None, **(beside or {}), **conditioning.extras},
    )
    return {name: cond.process_cond(batch_size=len(noisy)).cond for name, cond in conds.items()}


def _at(tap: Tap, timestep: float | None) -> Tap:
    def on_call(call: AttentionCall) -> None:
        tap(replace(call, timestep=timestep))

    return on_call


@contextmanager
def _differentiable(measured: bool) -> Iterator[None]:
    """Within the context, where gradients are on, they pass the model.

    Blocks add to their streams in place, which would change what was saved for the backward pass. A pass that is
    ``measured`` alone has none, and whoever measures what it saves must see it.
    """
    if not wants_gradients():
        yield
        return
    with differentiable_kernels(), nullcontext() if measured else saving_copies():
        yield
