"""How a sampling run is recorded, for each kind of denoiser."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from ....core.attention.selection import Grid, Selection
from ....core.backbone import AttentionCall, AttentionSite
from ...shared.families import FAMILIES, ModelFamily
from ..parts import model_family
from ..transformers import sites as transformer_sites
from ..transformers import taps as transformer_taps
from .sites import preferred_attention, site_table
from .taps import with_listener

OnCall = Callable[[AttentionCall], None]


class PassListener(Protocol):
    """Listens to one denoiser."""

    def options(self, given: Mapping[str, Any], on_call: OnCall) -> dict[str, Any]:
        """A copy of ``transformer_options`` with which it calls ``on_call`` beside each attention layer."""
        ...

    def begin(self, latent_size: Grid, context: int, options: Mapping[str, Any]) -> None:
        """A pass begins, on latents (h, w), with so many rows of text."""
        ...

    def end(self) -> tuple[str, ...]:
        """The pass is over; why something of it was not recorded, for people."""
        ...

    def part(self, call: AttentionCall, rows: slice, encoded: int) -> AttentionCall:
        """Rows of a call that belong to one text, which was encoded to so many rows."""
        ...


def pass_listener_of(patcher: Any, selection: Selection) -> PassListener:
    """Listens to the sites of a MODEL that a selection admits.

    Raises :class:`~...shared.errors.UnsupportedModelError` for models that no adapter reads.
    """
    denoiser = patcher.get_model_object("diffusion_model")
    family = FAMILIES[model_family(patcher)]
    if family.transformer is None:
        return UNetListener(denoiser, selection)
    return TransformerListener(family, denoiser, selection)


class UNetListener:
    """A UNet's layers."""

    def __init__(self, unet: Any, selection: Selection) -> None:
        self._sites = {key: site for key, site in site_table(unet).items() if selection.admits_site(site)}
        self._preferred = preferred_attention(unet)

    def options(self, given: Mapping[str, Any], on_call: OnCall) -> dict[str, Any]:
        def on_attention(site: AttentionSite, query: Tensor, key: Tensor, grid: Grid) -> None:
            on_call(AttentionCall(site, query, key, query.shape[-1] ** -0.5, grid, (True,) * len(query)))

        return with_listener(given, self._sites, on_attention, self._preferred)

    def begin(self, latent_size: Grid, context: int, options: Mapping[str, Any]) -> None:
        pass

    def end(self) -> tuple[str, ...]:
        return ()

    def part(self, call: AttentionCall, rows: slice, encoded: int) -> AttentionCall:
        query = call.query[rows]
        keys = call.key[rows, :, :encoded] if call.kind == "cross" else call.key[rows]  # the first of repeated copies
        return replace(call, query=query, key=keys, conditional=(True,) * len(query))


class TransformerListener:
    """A transformer's layers: those that the selection names, or else the family's default."""

    def __init__(self, family: ModelFamily, denoiser: Any, selection: Selection) -> None:
        self._family, self._denoiser = family, denoiser
        self._table = transformer_sites.site_table(family, denoiser)
        names = selection.sites
        if names is None:
            names = transformer_sites.default_sites(family, denoiser)
        self._wanted = tuple(
            site.name for site in self._table.values() if site.name in names and selection.admits_site(site)
        )
        self._preferred = transformer_sites.preferred_attention(family, denoiser)
        self._listener: transformer_taps.TransformerListener | None = None

    def options(self, given: Mapping[str, Any], on_call: OnCall) -> dict[str, Any]:
        self._listener = transformer_taps.TransformerListener(
            self._table, self._wanted, on_call, self._preferred, given.get(transformer_taps.OVERRIDE)
        )
        return transformer_taps.with_listener(given, self._listener)

    def begin(self, latent_size: Grid, context: int, options: Mapping[str, Any]) -> None:
        assert self._listener is not None
        rows = transformer_sites.rows_of(self._family, self._denoiser, latent_size, context, context)
        self._listener.begin(rows, options)

    def end(self) -> tuple[str, ...]:
        assert self._listener is not None
        self._listener.begin(None)
        return self._listener.missed

    def part(self, call: AttentionCall, rows: slice, encoded: int) -> AttentionCall:
        query, columns, bias = call.query[rows], call.columns, call.bias
        if call.view == "cross" and columns is not None:
            columns = slice(max(columns.start, columns.stop - encoded), columns.stop)
        if bias is not None and len(bias) > 1:
            bias = bias[rows]
        return replace(
            call, query=query, key=call.key[rows], conditional=(True,) * len(query), columns=columns, bias=bias
        )
