"""LoRA-Composer: several learnt concepts in one picture, each in its region, without training.

Yang et al., "LoRA-Composer: Leveraging Low-Rank Adaptation for Multi-Concept Customization in Training-Free Diffusion
Models", 2024, arXiv 2403.11627. *Concept injection*: inside a region the output of cross-attention is that of the
region's own text. *Concept isolation*: cells of one region do not read those of another in self-attention. *Latent
re-initialisation* and the guidance of the latent by *concept enhancement* and *region constraint* stand in
:mod:`..parts.region_guidance`; they need UNets and regions that are given.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, Backbone, EditedOutput
from ...settings import setting
from ..composer import Composer, ComposeSettings, Run, Share
from ..composition import Composition
from ..parts.layers import LayerInputs, blended
from ..parts.places import Places
from ..parts.region_guidance import FIRST, RegionGuidance
from ..parts.regional import joint_bias, mix_texts, read_apart, shares
from ..parts.steering import steering, writable


@dataclass(frozen=True)
class RegionSettings(ComposeSettings):
    """How regions read texts and each other; each field's help is in its metadata."""

    of_prompt: float = setting(0.0, "The share of the whole prompt inside a region, 0 to 1.")
    isolation: float = setting(1.0, "How far regions are kept from reading each other, 0 to 1.")
    max_cells: int = setting(
        6144,
        "Most cells of the layers in which regions are kept from reading each other; n cells need n x n numbers.",
        least=0,
    )
    find_until: float = setting(0.2, "Without regions: share of denoising in which the words' attention is read.")
    threshold: float = setting(0.4, "Without regions: share of a word's strongest attention that belongs to it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.of_prompt <= 1 and 0 <= self.isolation <= 1 and 0 < self.threshold <= 1):
            raise ValueError("of_prompt and isolation must lie in 0 to 1, threshold above 0 and up to 1")
        if not 0 < self.find_until < 1:
            raise ValueError(f"find_until must lie between 0 and 1, got {self.find_until:g}")

    def cost_of(self, composition: Composition) -> str:
        return self.cost if self._found_in_time(composition) else "no more passes, and nothing else"

    def left_out(self, composition: Composition) -> str:
        if self._found_in_time(composition):
            return ""
        return (
            f"Regions do nothing here: their words are read until find_until ({self.find_until:g}), and the method "
            f"acts until end ({self.end:g}). Lower find_until, raise end, or give every concept a region."
        )

    def _found_in_time(self, composition: Composition) -> bool:
        """Whether places that are found by words are known before the method ends."""
        return composition.placed or self.find_until < self.end

    @property
    def cost(self) -> str:
        read = "no more passes; for each region one more reading of a text in every attention layer"
        return f"{read}, and self-attention with a bias" if self.isolation else read


def begin_regions(composition: Composition, settings: RegionSettings, share: Share) -> Run:
    """The edit of one sampling run. Until the places are known every cell reads the prompt alone."""
    places = Places(composition, settings.find_until, settings.threshold)

    def edit(inputs: AttentionInputs) -> Tensor | EditedOutput | None:
        call, done = inputs.call, share(inputs.call.timestep)
        finding = places.reads(done)
        acts = settings.acts(done) and not finding
        if finding and inputs.conditional and call.site.kind != "self":
            places.read(inputs)
        masks = places.on(call.grid) if acts else None
        nowhere = masks is None
        masks = torch.zeros(1, len(composition.regions), *call.grid) if masks is None else masks
        masks, counts = masks.to(call.query.device), [region.counts(done) for region in composition.regions]
        fits = call.grid[0] * call.grid[1] <= settings.max_cells
        strength = settings.isolation if fits else 0.0
        if call.site.kind == "self" or not inputs.conditional:
            if nowhere or call.site.kind == "joint":
                return None
            alone = shares(composition.regions, masks, done, 0.0).regions
            apart = strength if call.site.kind == "self" else 0.0
            return read_apart(inputs, composition.regions, masks, apart, alone, counts)
        parts = shares(composition.regions, masks, done, settings.of_prompt)
        if call.site.kind == "cross":
            return mix_texts(inputs, composition, parts)
        bias = joint_bias(inputs, composition, parts, masks, strength, counts)
        bias = bias if call.bias is None else bias + call.bias
        return attend(call.query, call.key, inputs.value, call.scale, bias)

    def edit_layer(inputs: LayerInputs) -> Tensor | None:
        done = share(inputs.timestep)
        masks = places.on(inputs.grid) if settings.acts(done) and not places.reads(done) else None
        if masks is None:
            return None
        alone = shares(composition.regions, masks, done, 0.0).regions
        return blended(inputs, composition.regions, alone, [region.counts(done) for region in composition.regions])

    return Run(edit, divides=True, layers=edit_layer if composition.layers else None, places=places.on)


@dataclass(frozen=True)
class GuidedSettings(RegionSettings):
    """Attention in regions, and how the latent moves; each field's help is in its metadata."""

    guidance: float = setting(0.0, "How far the latent moves so that regions attend to their texts; 0 leaves it.")
    guide_until: float = setting(0.5, "Share of denoising to which it moves; it ends before where its loss rises.")
    fill: float = setting(0.25, "Weight of filling the region from edge to edge, relative to its middle.")
    constrain: float = setting(0.8, "Weight of keeping a region's cells from reading cells outside it.")
    renew: bool = setting(False, "Whether parts of the first noise that suit a concept are put into its region.")
    cells: int = setting(16, "Cells along the shorter side of the attention that is read; the nearest grid there is.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.guidance, self.fill, self.constrain) < 0 or self.cells < 1 or not 0 <= self.guide_until <= 1:
            raise ValueError("guidance, fill and constrain must be 0 or more, cells 1 or more, guide_until 0 to 1")

    @property
    def cost(self) -> str:
        more = [super().cost]
        if self.renew and self.start < FIRST:
            more.append("one more pass before the first step")
        if self.gradients:
            until = min(self.guide_until, self.end)
            more.append(f"up to {until:g} of denoising one more pass a step, with gradients")
        return "; ".join(more)

    @property
    def gradients(self) -> bool:
        return self.guidance > 0 and min(self.guide_until, self.end) > self.start

    def guides(self, composition: Composition) -> bool:
        """Whether the latent of this composition can move: on UNets, where every region has a mask."""
        return composition.placed and not composition.joint and (self.guidance > 0 or self.renew)

    def cost_of(self, composition: Composition) -> str:
        if not self._found_in_time(composition):
            return super().cost_of(composition)
        return self.cost if self.guides(composition) else replace(self, guidance=0.0, renew=False).cost

    def takes_gradients(self, composition: Composition) -> bool:
        return self.gradients and self.guides(composition)

    def left_out(self, composition: Composition) -> str:
        regions = super().left_out(composition)
        if self.guides(composition) or not (self.guidance or self.renew):
            return regions
        why = "they work on UNets only" if composition.joint else "they need a region for every concept"
        return f"{regions} guidance and renew do nothing here, since {why}.".strip()


def _begin(composition: Composition, settings: GuidedSettings, share: Share) -> Run:
    composition = writable(composition)
    regions = begin_regions(composition, settings, share)
    if not settings.guides(composition):
        return regions
    guided = RegionGuidance(composition, settings, regions.edit)

    @steering
    def before(backbone: Backbone, latent: Tensor, timestep: Tensor) -> Tensor:
        if any(site.kind == "joint" for site in backbone.attention_sites()):
            return latent  # texts of regions have no softmax of their own there
        done = share(float(timestep[0]))
        return guided.step(backbone, latent, timestep, done) if settings.acts(done) else latent

    return replace(regions, before=before)


METHOD = Composer(
    name="lora_composer",
    title="LoRA-Composer",
    help="Each region reads its own text, and regions do not read each other.",
    presets={
        "paper": GuidedSettings(guidance=20.0, renew=True),
        "small": GuidedSettings(of_prompt=0.5, isolation=0.5, end=0.4),
    },
    begin=_begin,
    needs=("regions", "texts"),
    costs="No more passes of the model, but slower attention layers; with guidance (preset paper), one more pass a "
    "step in the first half of denoising, with gradients.",
    note="Its guidance of the latent needs regions that are given, and works on UNets.",
)
