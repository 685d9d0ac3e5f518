"""Which layers of cross-attention are read where nobody chose them."""

from typing import Protocol, runtime_checkable

from ..backbone import AttentionKind, AttentionSite, Backbone


@runtime_checkable
class ChoosesSites(Protocol):
    """A backbone that knows which layers show what text reaches in the picture."""

    def default_sites(self, view: AttentionKind = "cross") -> tuple[AttentionSite, ...]:
        """The layers that are read unless others are asked for."""
        ...


def choose_sites(
    backbone: Backbone, latent_size: tuple[int, int], downscale: int | None, least_side: int = 8
) -> tuple[AttentionSite, ...]:
    """The cross-attention layers, on the way down and up, whose maps show where words are.

    Args:
        backbone: the model.
        latent_size: (h, w) of the latent.
        downscale: latent cells per cell of the grid that is read (the paper reads 16x16 of 64x64 latents, so 4);
            None reads every grid with at least ``least_side`` cells along the shorter side, or the finest if none has.
            A model whose attention all lies on one grid, as a transformer's does, is read there, in the layers that
            its family has for words: each layer more holds a map of the whole picture while tokens are learnt.
        least_side: see ``downscale``.

    Raises ``ValueError`` when the model has no such layer, naming the grids it has.
    """
    cross = [site for site in backbone.attention_sites() if site.reads("cross") and site.stage != "mid"]
    if isinstance(backbone, ChoosesSites) and all(site.kind == "joint" for site in cross):
        shown = {site.name for site in backbone.default_sites("cross")}
        cross = [site for site in cross if site.name in shown] or cross
    scales = {site.downscale for site in cross}
    finest = min(scales, default=0)
    if len(scales) == 1:
        wanted = scales
    elif downscale is None:
        wanted = {site.downscale for site in cross if min(site.grid(latent_size)) >= least_side} or {finest}
    else:
        wanted = {downscale}
    chosen = tuple(site for site in cross if site.downscale in wanted)
    if not chosen:
        there = sorted(scales)
        raise ValueError(
            f"the model has no cross-attention at 1/{downscale} of the latent; it has 1/n for n in {there}"
        )
    return chosen
