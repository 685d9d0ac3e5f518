"""Recording what a denoiser computes at one of its attention sites while it looks at pictures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..backbone import AttentionCall, AttentionSite, Backbone, Conditioning
from ..masks.upsample import covered_size
from ..messages import listed, shown
from ..sampling import with_rows
from ..schedule import timestep_of_noise
from ..steps import OnStep
from .activations import Activations, Origin, check_memory, fingerprint_of

NOISE = 0.1
BATCH = 8


def reading_sites(backbone: Backbone) -> tuple[AttentionSite, ...]:
    """The sites that can be recorded: those where the picture reads itself."""
    return tuple(site for site in backbone.attention_sites() if site.reads("self"))


def default_site(backbone: Backbone) -> AttentionSite:
    """Of a UNet the last site on its way up whose grid is twice as fine as the coarsest; of a transformer the one after
    two thirds of its blocks.

    On the lab model, ingredients of that site separated objects best (docs/explain.md). On SD1.5 it is
    ``up_blocks.1`` at 16x16 cells, which SAeUron (arXiv 2501.18052) reads for objects.
    """
    sites = reading_sites(backbone)
    if all(site.stage is None for site in sites):
        return sites[len(sites) * 2 // 3]
    coarsest = max(site.downscale for site in sites)
    rising = [site for site in sites if site.stage == "up"]
    return ([site for site in rising if 2 * site.downscale == coarsest] or rising)[-1]


def find_site(backbone: Backbone, name: str) -> AttentionSite:
    """A site by its name, or by the only one that has ``name`` in its name; empty for :func:`default_site`.

    Raises ``ValueError`` for no such site, and for several.
    """
    if not name.strip():
        return default_site(backbone)
    sites = reading_sites(backbone)
    exact = [site for site in sites if site.name == name.strip()]
    found = exact or [site for site in sites if name.strip() in site.name]
    if len(found) != 1:
        many = f"{len(found)} layers fit" if found else "no layer fits"
        raise ValueError(f"{many} the site {shown(name)}; name one of {listed((s.name for s in found or sites), 40)}")
    return found[0]


@dataclass(eq=False)
class _Recorder:
    """Keeps queries and keys of one site, (B, h * w, 2 * heads * d) for each pass."""

    rows: list[Tensor] = field(default_factory=list)
    grid: tuple[int, int] = (0, 0)

    def tap(self, call: AttentionCall) -> None:
        key = call.key if call.columns is None else call.key[:, :, call.columns]
        parts = [part.detach().transpose(1, 2).flatten(2) for part in (call.query, key)]  # (B, h*w, heads*d) each
        self.rows.append(torch.cat(parts, -1).float().cpu())
        self.grid = call.grid


@torch.no_grad()
def record_denoiser(
    backbone: Backbone,
    pictures: Tensor,
    site: str = "",
    noise: float = NOISE,
    seed: int = 0,
    text: str = "",
    on_step: OnStep | None = None,
) -> Activations:
    """What a denoiser computes at a site for pictures with a little noise: queries and keys of its self-attention.

    Args:
        pictures: (P, 3, H, W) in 0..1.
        site: see :func:`find_site`.
        noise: share of noise in what the model sees, 0..1.
        seed: of the noise; each picture has its own, whatever stands beside it.
        text: the prompt meanwhile, one for all pictures.

    Raises ``ValueError`` for more pictures than fit into :data:`.activations.MAX_BYTES`, and an unknown site.
    """
    if not 0 <= noise <= 1:
        raise ValueError(f"noise must be a share of 0 to 1, got {noise:g}")
    chosen, timestep = find_site(backbone, site), timestep_of_noise(backbone.schedule, noise)
    conditioning, parts = backbone.encode_text([text]), []
    for number, part in enumerate(pictures.split(BATCH)):
        noised = noised_latents(backbone, backbone.encode_image(part), timestep, seed + number * BATCH)
        found, grid = read_site(backbone, chosen, noised, timestep, conditioning)
        if number == 0:
            check_memory(len(pictures), *found.shape[1:])
        parts.append(found)
        if on_step is not None:
            on_step(min(len(pictures), (number + 1) * BATCH), len(pictures))
    rows = torch.cat(parts)
    origin = origin_of(backbone, chosen, rows.shape[-1], noise, text)
    size = (pictures.shape[-2], pictures.shape[-1])
    covered = covered_size(size, backbone.latent_downscale)
    return Activations(rows, grid, origin, None if covered == size else covered)


def origin_of(backbone: Backbone, site: AttentionSite, width: int, noise: float, text: str = "") -> Origin:
    """Where activations of a site come from."""
    weights = [one.weight for one in sorted(backbone.key_value_weights(), key=lambda one: one.name)]
    return Origin("denoiser", backbone.family, fingerprint_of(weights), site.name, width, float(noise), text)


def read_site(
    backbone: Backbone, site: AttentionSite, noised: Tensor, timestep: Tensor, conditioning: Conditioning
) -> tuple[Tensor, tuple[int, int]]:
    """Queries and keys (B, h * w, D) of a site for noised latents at a timestep (1,), on the CPU, and the grid."""
    return read_sites(backbone, [site], noised, timestep, conditioning)[site.name]


@torch.no_grad()
def read_sites(
    backbone: Backbone, sites: Sequence[AttentionSite], noised: Tensor, timestep: Tensor, conditioning: Conditioning
) -> dict[str, tuple[Tensor, tuple[int, int]]]:
    """What :func:`read_site` gives, of several sites in one pass, by their names."""
    recorders, times = {site.name: _Recorder() for site in sites}, timestep.to(noised.device).expand(len(noised))

    def tap(call: AttentionCall) -> None:
        if call.kind == "self":
            recorders[call.site.name].tap(call)

    with backbone.tap_attention(tap, sites):
        backbone.predict_noise(noised, times, with_rows(conditioning, len(noised)))
    return {name: (torch.cat(recorder.rows), recorder.grid) for name, recorder in recorders.items()}


def noised_latents(backbone: Backbone, latent: Tensor, timestep: Tensor, seed: int) -> Tensor:
    """Latents (B, C, h, w) with noise of one timestep (1,); the seed of the first one's, the others count on."""
    drawn = torch.cat([_noise(latent[:1], seed + index) for index in range(len(latent))])
    return backbone.schedule.add_noise(latent, drawn, timestep.to(latent.device).expand(len(latent)))


def _noise(like: Tensor, seed: int) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed % 2**63)).to(like)
