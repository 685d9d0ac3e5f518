"""Attend-and-Excite: before each step the latent moves so that the least attended subject gains attention.

Chefer et al., "Attend-and-Excite: Attention-Based Semantic Guidance for Text-to-Image Diffusion Models", SIGGRAPH 2023,
arXiv 2301.13826: the loss of equation 1, the update of equation 2, and iterative refinement (section 3.2). The update
is made in units of the latent at unit variance, as in the paper. Maps are smoothed over three cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.probabilities import call_mean
from ...backbone import AttentionCall, Backbone
from ...settings import setting
from ..composer import Composer, ComposeSettings, Run, Share
from ..composition import Composition
from ..parts.places import smoothed
from ..parts.steering import LossOf, gradient_of, read_attention, reading_sites, steering, writable

THRESHOLDS = ((0.0, 0.05), (0.2, 0.5), (0.4, 0.8))
"""Shares of denoising, and the attention that every subject shall have there before the picture goes on."""


@dataclass(frozen=True)
class ExciteSettings(ComposeSettings):
    """How the latent moves; each field's help is in its metadata."""

    end: float = setting(0.5, "Share of denoising to which the latent moves, 1 is the last step.")
    scale: float = setting(20.0, "How far the latent moves along the gradient; 0 leaves it.")
    refinements: int = setting(20, "Most moves more at each of three steps, until every subject is attended; 0: none.")
    cells: int = setting(16, "Cells along the shorter side of the attention that is read; the nearest grid there is.")
    sharpness: float = setting(100.0, "By how much attention is multiplied before the words compete for a cell.")
    own_words: bool = setting(False, "Whether only the prompt's own tokens compete, and not those that pad it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale < 0 or self.refinements < 0 or self.cells < 1 or self.sharpness <= 0:
            raise ValueError("scale and refinements must be 0 or more, cells 1 or more, and sharpness above 0")

    @property
    def cost(self) -> str:
        if not self.scale:
            return "nothing, since the latent stays as it is"
        span = f"from {self.start:g} to {self.end:g} of denoising"
        more = f", and up to {3 * self.refinements} more in all" if self.refinements else ""
        return f"each step {span} takes one more pass, with gradients{more}"

    @property
    def gradients(self) -> bool:
        return self.scale > 0


def attended(maps: Tensor, subjects: Sequence[Sequence[int]], sharpness: float) -> Tensor:
    """The strongest attention (B, S) in 0..1 of each subject in any cell, after words have competed for it.

    Args:
        maps: (B, L, h, w), attention of each cell to the tokens that compete.
        subjects: positions among the L; a word of several tokens has their mean.
        sharpness: factor before the softmax over tokens.
    """
    shares = (sharpness * maps).softmax(1)  # (B, L, h, w)
    own = torch.stack([shares[:, list(places)].mean(1) for places in subjects], dim=1)  # (B, S, h, w)
    return smoothed(own).flatten(2).amax(2)


def _begin(composition: Composition, settings: ExciteSettings, share: Share) -> Run:
    composition = writable(composition)
    kept = competing(composition, settings.own_words)
    waiting = [pair for pair in THRESHOLDS if settings.start <= pair[0] < settings.end]

    @steering
    def before(backbone: Backbone, latent: Tensor, timestep: Tensor) -> Tensor:
        done = share(float(timestep[0]))
        present = [(region.subject, region.counts(done)) for region in composition.regions if region.subject]
        present = [(tuple(place for place in places if place in kept), weight) for places, weight in present]
        present = [(places, weight) for places, weight in present if places and weight > 0]
        if not (settings.acts(done) and settings.scale and present):
            return latent
        subjects = [[kept.index(place) for place in places] for places, _ in present]
        weights = torch.tensor([weight for _, weight in present], device=latent.device)
        sites = reading_sites(backbone, (latent.shape[-2], latent.shape[-1]), settings.cells)

        def losses(moved: Tensor) -> Tensor:
            found: list[Tensor] = []

            def tap(call: AttentionCall) -> None:
                if call.kind == "cross":
                    found.append(call_mean(call)[..., kept].transpose(1, 2).unflatten(2, call.grid))  # (B, L, h, w)

            read_attention(backbone, moved, timestep, composition.conditioning, sites, tap)
            strongest = attended(torch.stack(found).mean(0), subjects, settings.sharpness)  # (B, S)
            return (weights * (1 - strongest)).amax(1)

        rate = settings.scale * (1 - done / 2) ** 0.5
        while waiting and waiting[0][0] <= done:
            latent = _refined(latent, losses, rate, 1 - waiting.pop(0)[1], settings.refinements)
        return latent - rate * gradient_of(latent, losses)[0]

    return Run(before=before)


def _refined(latent: Tensor, losses: LossOf, rate: float, enough: float, most: int) -> Tensor:
    """The latent after moves of those pictures whose loss is more than enough."""
    for _ in range(most):
        gradient, found = gradient_of(latent, losses)
        open_rows = (found > enough)[:, None, None, None]
        if not bool(open_rows.any()):
            break
        latent = latent - rate * gradient * open_rows
    return latent


def competing(composition: Composition, own_words: bool) -> list[int]:
    """The positions whose tokens compete: from the first of the prompt to its last, or to the last but one of all.
    Start tokens, which draw most of the attention, do not."""
    base, text = composition.base, composition.text
    span = base if text is None else text if own_words else slice(text.start, base.stop - 1)
    return [place for place in range(span.start, span.stop) if place not in composition.starts]


METHOD = Composer(
    name="attend_and_excite",
    title="Attend-and-Excite",
    help="Before each step, the latent moves so that the least attended concept gains attention.",
    presets={"paper": ExciteSettings(), "small": ExciteSettings(refinements=3)},
    begin=_begin,
    needs=("words",),
    costs="One more pass a step in the first half of denoising, with gradients, and up to 60 more in all.",
    note="It reads no regions: the prompt must name the concepts. Gradients take more memory than sampling does.",
)
