"""FaR's localized refinement while a picture is sampled: the latent moves so that words are attended in their regions.

"FaR: Enhancing Multi-Concept Text-to-Image Diffusion via Concept Fusion and Localized Refinement", 2025,
arXiv 2504.03292, trains with a loss of that name. Here the latent of a sampled picture moves along the gradient of such
a loss instead; form, layers and scale are ours, since the paper's were not known to us.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...attention.probabilities import call_mean
from ...attention.resize import resize_maps
from ...backbone import AttentionCall, AttentionInputs, Backbone
from ...settings import setting
from ..composer import Composer, ComposeSettings, Run, Share
from ..composition import Composition
from ..parts.places import Places
from ..parts.region_losses import refinement
from ..parts.steering import gradient_of, read_attention, reading_sites, steering, writable

FORMS = ("ratio", "mse")


@dataclass(frozen=True)
class RefineSettings(ComposeSettings):
    """How the latent moves; each field's help is in its metadata."""

    end: float = setting(0.5, "Share of denoising to which the latent moves, 1 is the last step.")
    scale: float = setting(20.0, "How far the latent moves along the gradient; 0 leaves it.")
    form: str = setting("ratio", "ratio: attention outside the region and in others'; mse: distance of map and mask.")
    cells: int = setting(16, "Cells along the shorter side of the attention that is read; the nearest grid there is.")
    find_until: float = setting(0.2, "Without regions: share of denoising in which the words' attention is read.")
    threshold: float = setting(0.4, "Without regions: share of a word's strongest attention that belongs to it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale < 0 or self.cells < 1 or self.form not in FORMS:
            raise ValueError("scale must be 0 or more, cells 1 or more, and form ratio or mse")
        if not (0 < self.find_until < 1 and 0 < self.threshold <= 1):
            raise ValueError("find_until must lie between 0 and 1, and threshold above 0 and up to 1")

    @property
    def cost(self) -> str:
        return self._cost(self.start)

    def _cost(self, begin: float) -> str:
        if not self.scale or begin >= self.end:
            return "nothing, since the latent stays as it is"
        return f"each step from {begin:g} to {self.end:g} of denoising takes one more pass, with gradients"

    def cost_of(self, composition: Composition) -> str:
        return self._cost(self.start if composition.placed else max(self.start, self.find_until))

    @property
    def gradients(self) -> bool:
        return self.scale > 0


def _begin(composition: Composition, settings: RefineSettings, share: Share) -> Run:
    composition = writable(composition)
    places = Places(composition, settings.find_until, settings.threshold)
    things = [number for number in composition.things if composition.regions[number].words]

    def edit(inputs: AttentionInputs) -> None:
        if inputs.conditional and inputs.call.site.kind != "self" and places.reads(share(inputs.call.timestep)):
            places.read(inputs)

    @steering
    def before(backbone: Backbone, latent: Tensor, timestep: Tensor) -> Tensor:
        done = share(float(timestep[0]))
        named = [number for number in things if composition.regions[number].counts(done)]
        if not (settings.acts(done) and settings.scale and named) or places.reads(done):
            return latent
        weights = torch.tensor([composition.regions[number].counts(done) for number in named], device=latent.device)
        sites = reading_sites(backbone, (latent.shape[-2], latent.shape[-1]), settings.cells)
        grid = sites[0].grid((latent.shape[-2], latent.shape[-1]))
        with torch.inference_mode(False):
            known = places.on(grid)
            masks = None if known is None else known.clone().to(latent.device)[:, named]
        if masks is None:
            return latent

        def losses(moved: Tensor) -> Tensor:
            found: list[Tensor] = []

            def tap(call: AttentionCall) -> None:
                if call.kind == "cross":
                    attention = call_mean(call)  # (B, h*w, L)
                    own = [attention[..., list(composition.regions[number].words)].mean(-1) for number in named]
                    found.append(resize_maps(torch.stack(own, 1).unflatten(2, call.grid), grid, "bilinear"))

            read_attention(backbone, moved, timestep, composition.conditioning, sites, tap)
            return (weights * refinement(torch.stack(found).mean(0), masks, settings.form)).sum(1)

        rate = settings.scale * (1 - done / 2) ** 0.5
        return latent - rate * gradient_of(latent, losses)[0]

    return Run(edit, before, places=places.on)


METHOD = Composer(
    name="localized_refinement",
    title="Localized refinement (FaR)",
    help="Before each step, the latent moves so that each concept's words are attended in its own region alone.",
    presets={"paper": RefineSettings(), "small": RefineSettings()},
    begin=_begin,
    needs=("words", "regions"),
    costs="One more pass a step in the first half of denoising, with gradients.",
    note="FaR trains with such a loss; moving the latent by it is ours. Gradients take more memory than sampling does. "
    "The words of a style, whose region is the whole picture, are left where they are.",
)
