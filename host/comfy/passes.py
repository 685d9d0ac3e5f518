"""One pass of a denoiser: what it is given, what its answer means, and how its attention is recorded."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from ...core.backbone import (
    AttentionCall,
    AttentionEdit,
    AttentionInputs,
    AttentionKind,
    AttentionSite,
    Conditioning,
    EditedOutput,
    Tap,
)
from ...core.messages import listed
from ...core.schedule import Schedule
from ..shared.families import FAMILIES
from .attention.sites import Preference, SiteKey, preferred_attention, site_table
from .attention.taps import with_listener
from .noise import NoiseLevels

TappedSites = tuple[Tap, frozenset[str]]
"""A tap, and the names of the sites that it wants."""

EditedSites = tuple[AttentionEdit, frozenset[str]]
"""An edit of attention, and the names of the sites that it is for."""


class Denoiser(Protocol):
    """What a backbone asks of the kind of model that it holds.

    Attributes:
        measured: whether passes are made to measure what they save for a backward pass that will not come.
    """

    measured: bool

    @property
    def schedule(self) -> Schedule: ...
    @property
    def sigmas(self) -> Tensor:
        """(T,) ComfyUI's noise level of each timestep."""
        ...

    def sites(self) -> tuple[AttentionSite, ...]:
        """Every attention layer, in the order they run."""
        ...

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        """Those that are read unless others are asked for."""
        ...

    def noisy(self, latent: Tensor, levels: Tensor) -> Tensor:
        """A latent (B, C, h, w) as ComfyUI's model reads it, at noise levels (B, 1, 1, 1)."""
        ...

    def noise(self, noisy: Tensor, clean: Tensor, levels: Tensor) -> Tensor:
        """The noise in it, given the clean latent that the model saw."""
        ...

    def target(self, noisy: Tensor, clean: Tensor, levels: Tensor) -> Tensor:
        """What :meth:`Schedule.target` asks for."""
        ...

    def apply(
        self, patcher: Any, noisy: Tensor, sigma: Tensor, conditioning: Conditioning, options: dict[str, Any]
    ) -> Tensor:
        """The clean latent (B, C, h, w) that the model sees in a noisy one."""
        ...

    def with_taps(self, options: Mapping[str, Any], taps: Sequence[TappedSites], time: float | None) -> dict[str, Any]:
        """Options of a call in which the taps are called."""
        ...

    def with_edits(
        self, options: Mapping[str, Any], edits: Sequence[EditedSites], time: float | None
    ) -> dict[str, Any]:
        """Options of a call in which attention is edited."""
        ...


class UNetDenoiser:
    """A UNet of Stable Diffusion.

    Args:
        patcher: its MODEL.
        family: its family.
        cell: pixels per latent cell along a side, for the picture's size that Stable Diffusion XL reads.
    """

    def __init__(self, patcher: Any, family: str, cell: int) -> None:
        self._patcher, self._family, self._cell = patcher, FAMILIES[family], cell
        self.measured = False

    @cached_property
    def levels(self) -> NoiseLevels:
        """Its noise levels."""
        return NoiseLevels(self._patcher.get_model_object("model_sampling"))

    @property
    def schedule(self) -> Schedule:
        return self.levels.schedule

    @property
    def sigmas(self) -> Tensor:
        return self.levels.sigmas

    def sites(self) -> tuple[AttentionSite, ...]:
        return tuple(self._table.values())

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        return self.sites()

    def noisy(self, latent: Tensor, levels: Tensor) -> Tensor:
        return latent * (1 + levels**2).sqrt()

    def noise(self, noisy: Tensor, clean: Tensor, levels: Tensor) -> Tensor:
        return (noisy - clean) / levels

    def target(self, noisy: Tensor, clean: Tensor, levels: Tensor) -> Tensor:
        return self.noise(noisy, clean, levels)

    def apply(
        self, patcher: Any, noisy: Tensor, sigma: Tensor, conditioning: Conditioning, options: dict[str, Any]
    ) -> Tensor:
        return run(patcher, noisy, sigma, self._inputs(noisy, conditioning), options)

    def with_taps(self, options: Mapping[str, Any], taps: Sequence[TappedSites], time: float | None) -> dict[str, Any]:
        changed = dict(options)
        for tap, names in reversed(taps):  # the listener that is set last is called first
            sites = {key: site for key, site in self._table.items() if site.name in names}
            changed = with_listener(changed, sites, _as_callback(tap, time), self._preferred)
        return changed

    def with_edits(
        self, options: Mapping[str, Any], edits: Sequence[EditedSites], time: float | None
    ) -> dict[str, Any]:
        changed = dict(options)
        for edit, names in edits:
            sites = {key: site for key, site in self._table.items() if site.name in names}
            on_inputs = as_editor(edit, time)
            changed = with_listener(changed, sites, preferred=self._preferred, on_inputs=on_inputs)
        return changed

    def _inputs(self, noisy: Tensor, conditioning: Conditioning) -> dict[str, Any]:
        """What the model is given: the text and, for SDXL, pooled text and sizes (the picture's own, uncropped)."""
        inputs: dict[str, Any] = {"c_crossattn": conditioning.context.to(noisy.device)}
        if not self._family.pooled_text:
            return inputs
        if "pooled_output" not in conditioning.extras:
            raise ValueError(
                f"{self._family.title} needs the pooled text; its conditioning has "
                f"{listed(conditioning.extras) or 'no'} extras"
            )
        height, width = (side * self._cell for side in noisy.shape[-2:])
        inputs["y"] = self._patcher.model.encode_adm(
            pooled_output=conditioning.extras["pooled_output"],
            height=height,
            width=width,
            device=noisy.device,
            noise=noisy,
            prompt_type="positive",
        ).to(noisy.device)
        return inputs

    @cached_property
    def _table(self) -> Mapping[SiteKey, AttentionSite]:
        return site_table(self._patcher.get_model_object("diffusion_model"))

    @cached_property
    def _preferred(self) -> Mapping[SiteKey, Preference]:
        return preferred_attention(self._patcher.get_model_object("diffusion_model"))


def run(patcher: Any, noisy: Tensor, sigma: Tensor, inputs: dict[str, Any], options: dict[str, Any]) -> Tensor:
    """The clean latent that the model sees in a noisy one, by the wrapper that hangs on the MODEL, if any."""
    inputs = {**inputs, "transformer_options": options}
    around = patcher.model_options.get("model_function_wrapper")
    if around is None:
        return patcher.model.apply_model(noisy, sigma, **inputs)
    call = {"input": noisy, "timestep": sigma, "c": inputs, "cond_or_uncond": options["cond_or_uncond"]}
    return around(patcher.model.apply_model, call)


def as_editor(edit: AttentionEdit, timestep: float | None) -> Any:
    """An edit of a pass all of whose rows are of one timestep, as listeners call it."""

    def on_inputs(inputs: AttentionInputs) -> list[tuple[slice, Tensor | EditedOutput]]:
        found = edit(replace(inputs, call=replace(inputs.call, timestep=timestep)))
        return [] if found is None else [(slice(None), found)]

    return on_inputs


def _as_callback(tap: Tap, timestep: float | None) -> Any:
    def on_attention(site: AttentionSite, query: Tensor, key: Tensor, grid: tuple[int, int]) -> None:
        rows = (True,) * len(query)
        tap(AttentionCall(site, query, key, query.shape[-1] ** -0.5, grid, rows, timestep))

    return on_attention


def call_options(patcher: Any, sigma: Tensor) -> dict[str, Any]:
    """The ``transformer_options`` of one call of the model outside a sampler, as a sampler makes them.

    Args:
        patcher: the MODEL, whose own options and wrappers are among them.
        sigma: (B,) the noise level of each row.
    """
    import comfy.patcher_extension as extension

    given = patcher.model_options.get("transformer_options", {})
    return given | {
        "cond_or_uncond": [0],
        "uuids": [uuid.uuid4()],
        "sigmas": sigma,
        "sample_sigmas": torch.stack([sigma[0], torch.zeros_like(sigma[0])]),
        "wrappers": extension.merge_nested_dicts(given.get("wrappers", {}), patcher.wrappers),
    }
