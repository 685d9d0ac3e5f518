"""The same concepts in another picture, found by what the model makes of them (ours).

A concept is described by the mean query of a decoder's self-attention over its mask, which distinguishes parts and
kinds of things across pictures (that a denoiser's decoder does so at low noise: Tang et al., "Emergent Correspondence
from Image Diffusion", NeurIPS 2023, arXiv 2306.03881). Concepts are then paired so that the sum of cosines is largest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..assignment import best_assignment
from ..attention.ending import run_to
from ..backbone import AttentionCall, AttentionSite, Backbone
from ..schedule import timestep_of_noise
from ..types import Concepts, Source

TIME = 0.1  # share of all timesteps at which the model reads the pictures


@dataclass(frozen=True)
class MatchSettings:
    """How pictures are read.

    Attributes:
        noise: share of noise in them, 0..1; None takes a tenth of all timesteps.
        layers: names of the attention layers that are read; None takes the decoder's.
    """

    noise: float | None = None
    layers: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise ValueError(f"noise is a share of noise in the picture, 0..1, got {self.noise}")


DEFAULT = MatchSettings()


@dataclass(frozen=True, eq=False)
class Match:
    """What was found.

    Attributes:
        source: the other picture; its concepts are those that were matched, named and ordered as the first's.
        cosines: (N,) how alike each is to the first picture's, -1..1.
        former: N, what they were called in the other picture.
    """

    source: Source
    cosines: Tensor
    former: tuple[str, ...]


def match(backbone: Backbone, first: Source, other: Source, seed: int = 0, settings: MatchSettings = DEFAULT) -> Match:
    """Find the first picture's N concepts among those of another picture; two passes of the model.

    Args:
        backbone: the model that both pictures are described with.
        first: decides names and order.
        other: at least N concepts; those that are left over are dropped.
        seed: of the noise.
        settings: how pictures are read.

    Raises ``ValueError`` when the other picture has fewer concepts, or one of them has none.
    """
    if not 0 < len(first.concepts) <= len(other.concepts):
        raise ValueError(
            f"the first picture has {len(first.concepts)} concepts and the other {len(other.concepts)}: every concept "
            "needs one to go with. Drop those that the other does not show, or localize it with a greater count"
        )
    ours, theirs = (describe(backbone, source, seed, settings) for source in (first, other))
    cosines = ours @ theirs.T  # (N, D) @ (D, M)
    pairs = best_assignment(cosines)
    chosen = other.concepts.pick([index for _, index in pairs])
    found = replace(other, concepts=replace(chosen, names=first.concepts.names))
    return Match(found, torch.stack([cosines[pair] for pair in pairs]).cpu(), chosen.names)


@torch.no_grad()
def describe(backbone: Backbone, source: Source, seed: int = 0, settings: MatchSettings = DEFAULT) -> Tensor:
    """(N, D) unit vectors, one a concept: comparable between pictures of one model that were read alike."""
    latent = backbone.encode_image(source.picture).float()
    time = torch.tensor([int(TIME * (backbone.schedule.steps - 1))])
    if settings.noise is not None:
        time = timestep_of_noise(backbone.schedule, settings.noise)
    time = time.to(latent.device)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed)).to(latent.device)
    vectors: list[Tensor] = []

    def describe_masks(call: AttentionCall) -> None:
        if call.kind != "self":
            return
        rows = call.query[0].float().transpose(0, 1).flatten(1)  # (heads, h*w, d) to (h*w, heads*d)
        vectors.append(F.normalize(_means(rows, source.concepts, call.grid), dim=1))

    noisy = backbone.schedule.add_noise(latent, noise, time)
    sites = _sites(backbone, settings.layers)
    with backbone.tap_attention(describe_masks, sites):
        run_to(backbone, sites[-1], noisy, time, backbone.encode_text([""]))
    return F.normalize(torch.cat(vectors, 1), dim=1)


def _means(rows: Tensor, concepts: Concepts, grid: tuple[int, int]) -> Tensor:
    """(N, d): the mean of rows (h*w, d) over each mask."""
    shares = F.adaptive_avg_pool2d(concepts.masks.float(), grid).flatten(1).to(rows)  # (N, h*w)
    return shares @ rows / shares.sum(1, keepdim=True).clamp_min(1e-6)


def _sites(backbone: Backbone, names: Sequence[str] | None) -> Sequence[AttentionSite]:
    """The self-attention that is read: of the layers named, or else the decoder's at half the latent's resolution, or
    the nearest there is; without a decoder, of all layers."""
    layers = [site for site in backbone.attention_sites() if site.reads("self")]
    if names is not None:
        return [site for site in layers if site.name in names]
    decoder = [site for site in layers if site.stage == "up"] or layers
    nearest = min((abs(site.downscale - 2), site.downscale) for site in decoder)[1]
    return [site for site in decoder if site.downscale == nearest]
