"""Concept Conductor: a pass for each concept, which share one layout, put into the prompt's pass by masks that take the
shape of what is drawn.

Yao et al., "Concept Conductor: Orchestrating Multiple Personalized Concepts in Text-to-Image Synthesis", AAAI 2025,
arXiv 2408.03632. *Multi-path sampling* and *concept injection* stand in :mod:`..parts.branches`, *layout alignment* in
:mod:`..parts.layout`, the refinement of masks in :mod:`..parts.shape_masks`. Three things differ from the paper: the
pass of the negative text is the model's own, without branches; no move of the latent is longer than a share of it,
since gradients can be steep; and where no mask is given, places are found by the words.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...attention.resize import resize_maps
from ...attention.selection import Grid
from ...backbone import AttentionCall, AttentionInputs, AttentionSite, Backbone, EditedOutput
from ...settings import setting
from ..composer import Composer, ComposeSettings, Run, Share
from ..composition import Composition, Region
from ..parts.branches import Branches, branch_edit, coarse_grid, decoder_sites, picture_attention, text_of
from ..parts.layout import keys_of, layout_loss
from ..parts.places import Places
from ..parts.shape_masks import refined
from ..parts.steering import beside, gradient_of, read_attention, steering, writable


@dataclass(frozen=True)
class ConductorSettings(ComposeSettings):
    """How branches are aligned and put together; each field's help is in its metadata."""

    layout: float = setting(10.0, "How far the latent moves so that all passes share one layout; 0 leaves it.")
    most_move: float = setting(0.1, "The farthest that one move may lead, as a share of the latent's own length.")
    layout_until: float = setting(0.3, "Share of denoising to which the latent moves.")
    of_branches: float = setting(1.0, "Weight of the concepts' passes in that, relative to the prompt's own.")
    refine_from: float = setting(0.25, "Share of denoising from which masks take the shapes that are drawn.")
    refine_until: float = setting(0.4, "Share of denoising to which they do; refine_from or less: never.")
    refine_every: float = setting(0.025, "Share of denoising between two such refinements.")
    least_iou: float = setting(0.0, "A shape that covers the mask less than this (IoU) gives way to its rectangle.")
    shape_cells: int = setting(1024, "Most cells that shapes are read from; of a larger layer, patches of cells are.")
    find_until: float = setting(0.2, "Without regions: share of denoising in which the words' attention is read.")
    threshold: float = setting(0.4, "Without regions: share of a word's strongest attention that belongs to it.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.layout, self.of_branches, self.most_move) < 0 or self.shape_cells < 1 or self.refine_every <= 0:
            raise ValueError(
                "layout, of_branches and most_move must be 0 or more, shape_cells 1 or more, refine_every above 0"
            )
        shares = (self.layout_until, self.refine_from, self.refine_until, self.least_iou)
        if not (all(0 <= share <= 1 for share in shares) and 0 < self.threshold <= 1 and 0 < self.find_until < 1):
            raise ValueError(
                "layout_until, refine_from, refine_until and least_iou must lie in 0 to 1, threshold above 0 and up "
                "to 1, find_until between 0 and 1"
            )

    @property
    def cost(self) -> str:
        led = ", and with a reference one whole pass and most of another"
        return self._cost("each concept", self.start, led)

    def _cost(self, concepts: str, begin: float, led: str) -> str:
        """What steps take from a share of denoising; ``led`` is what a reference adds."""
        if begin >= self.end:
            return "nothing, since no step is left in which the method acts"
        more = [f"each step from {begin:g} to {self.end:g} of denoising takes one more pass for {concepts}"]
        if self.layout and begin < self.layout_until:
            until = min(self.layout_until, self.end)
            more.append(f"up to {until:g}, most of a pass more for each and the prompt, with gradients{led}")
        if max(begin, self.refine_from) < min(self.refine_until, self.end):
            more.append(
                f"from {self.refine_from:g} to {self.refine_until:g}, most of a pass more each time that masks take "
                "shapes, and a clustering"
            )
        return "; ".join(more)

    def _from(self, composition: Composition) -> float:
        """The share of denoising from which this composition is drawn in branches."""
        return self.start if composition.placed else max(self.start, self.find_until)

    def cost_of(self, composition: Composition) -> str:
        counting = [number for number in composition.things if composition.regions[number].weight]
        if not counting:
            return "nothing, since no concept with a place of its own has a weight"
        led = "" if composition.reference is None else ", and one whole pass and most of another for the reference"
        return self._cost("each concept" if len(counting) > 1 else "the concept", self._from(composition), led)

    @property
    def gradients(self) -> bool:
        return self.layout > 0

    def takes_gradients(self, composition: Composition) -> bool:
        return self.gradients and self._from(composition) < min(self.layout_until, self.end)


@dataclass(eq=False)
class _Conductor:
    """One sampling run."""

    composition: Composition
    settings: ConductorSettings
    share: Share
    places: Places = field(init=False)
    branches: Branches = field(init=False)
    shapes: Tensor | None = None  # (B, R, h, w)
    refined_at: float | None = None

    def __post_init__(self) -> None:
        self.places = Places(self.composition, self.settings.find_until, self.settings.threshold)
        self.branches = Branches(self.composition)

    def edit(self, inputs: AttentionInputs) -> EditedOutput | None:
        """The prompt's own pass."""
        call = inputs.call
        if self.branches.running or not inputs.conditional:
            return None
        done = self.share(call.timestep)
        if call.site.kind != "self" and self.places.reads(done):
            self.places.read(inputs)
        masks = self.masks(call.grid) if self.branches.outputs else None
        masks = None if masks is None else masks.to(call.query.device)
        return self.branches.prompt_output(inputs, masks, done)

    def masks(self, grid: Grid) -> Tensor | None:
        """(1 or B, R, h, w) in 0..1: the shapes that were found, else the places."""
        return self.places.on(grid) if self.shapes is None else resize_maps(self.shapes, grid, "bilinear")

    def step(self, backbone: Backbone, latent: Tensor, timestep: Tensor) -> Tensor:
        """Run the branches at a latent (B, C, h, w), and give the one to go on with."""
        done, size = self.share(float(timestep[0])), (latent.shape[-2], latent.shape[-1])
        self.branches.outputs = {}
        counting = any(region.counts(done) for region in self.branches.regions.values())
        if not (self.settings.acts(done) and counting) or self.places.reads(done) or self.masks(size) is None:
            return latent
        first, last = decoder_sites(backbone, size, self.settings.shape_cells)
        if self.settings.layout and done < self.settings.layout_until:
            latent = self.aligned(backbone, latent, timestep, done, first)
        due = self.refines(done)
        maps = self.branches.run(backbone, latent, timestep, done, last if due else None, self.settings.shape_cells)
        if due:
            self.refine(backbone, latent, timestep, last, maps)
        return latent

    def aligned(self, backbone: Backbone, latent: Tensor, timestep: Tensor, done: float, site: AttentionSite) -> Tensor:
        """The latent, moved so that the passes share the layout of the reference."""
        prompt = beside(self.composition.prompt, latent)
        regions = [region for region in self.branches.regions.values() if region.counts(done)]
        with self.branches.alone():
            reference = self.reference(backbone, latent, timestep, site)

            def losses(moved: Tensor) -> Tensor:
                base = keys_of(backbone, moved, timestep, prompt, site)
                own = [self.own_keys(backbone, region, moved, timestep, site) for region in regions]
                goal = base.detach() if reference is None else reference
                return layout_loss(base, own, goal, self.settings.of_branches)

            move = self.settings.layout * gradient_of(latent, losses)[0]  # (B, C, h, w)
            lengths = [part.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for part in (move, latent)]
            return latent - move * (self.settings.most_move * lengths[1] / lengths[0].clamp_min(1e-12)).clamp(max=1)

    def own_keys(
        self, backbone: Backbone, region: Region, latent: Tensor, timestep: Tensor, site: AttentionSite
    ) -> Tensor:
        """Keys of the branch of a concept."""
        text = text_of(self.composition, region, latent)
        with self.branches.alone(region):
            return keys_of(backbone, latent, timestep, text, site, branch_edit(region) if region.adapter else None)

    def reference(self, backbone: Backbone, latent: Tensor, timestep: Tensor, site: AttentionSite) -> Tensor | None:
        """Keys (B, heads, n, d) of the reference at this noise level; None without one."""
        given = self.composition.reference
        if given is None:
            return None
        if given.shape[1:] != latent.shape[1:]:
            raise ValueError(
                f"the reference is {given.shape[-1]}x{given.shape[-2]} latent cells and the picture "
                f"{latent.shape[-1]}x{latent.shape[-2]}; encode a reference of the picture's own size"
            )
        prompt = beside(self.composition.prompt, latent)
        noise = backbone.predict_noise(latent, timestep, prompt)
        noised = backbone.schedule.add_noise(given[:1].to(latent).expand_as(latent), noise, timestep)
        return keys_of(backbone, noised, timestep, prompt, site)

    def refines(self, done: float) -> bool:
        """Whether masks are refined at this share of denoising."""
        settings = self.settings
        if not settings.refine_from <= done < settings.refine_until:
            return False
        return self.refined_at is None or done - self.refined_at >= settings.refine_every

    def refine(
        self, backbone: Backbone, latent: Tensor, timestep: Tensor, site: AttentionSite, maps: dict[int, Tensor]
    ) -> None:
        """Let masks take the shapes that the self-attention of a layer shows; ``maps`` are those of the branches."""
        grid = coarse_grid(site.grid((latent.shape[-2], latent.shape[-1])), self.settings.shape_cells)
        before, found = self.masks(grid), []
        assert before is not None
        prompt: list[Tensor] = []

        def tap(call: AttentionCall) -> None:
            if call.kind == "self":
                prompt.append(picture_attention(call, self.settings.shape_cells))

        read_attention(backbone, latent, timestep, self.composition.conditioning, (site,), tap, self.edit)
        things = list(self.composition.things)
        for row, masks in enumerate(before.expand(len(latent), -1, -1, -1)):
            own = [maps[number][row] if number in maps else None for number in things]
            shapes = masks.clone()
            shapes[things] = refined(masks[things], own, prompt[0][row], self.settings.least_iou)
            found.append(shapes)
        self.shapes, self.refined_at = torch.stack(found), self.share(float(timestep[0]))


def _begin(composition: Composition, settings: ConductorSettings, share: Share) -> Run:
    conductor = _Conductor(writable(composition), settings, share)
    layers = conductor.branches.layer if composition.layers else None
    return Run(conductor.edit, steering(conductor.step), divides=True, layers=layers, places=conductor.masks)


METHOD = Composer(
    name="concept_conductor",
    title="Concept Conductor",
    help="Each concept is drawn in a pass of its own with the same layout, and put into the picture by its shape.",
    presets={"paper": ConductorSettings(), "small": ConductorSettings(least_iou=0.5)},
    begin=_begin,
    needs=("regions", "branches"),
    follows_reference=True,
    costs="One more pass a step for each concept, and in the first part of denoising most of another for each, with "
    "gradients.",
    note="In the pass of a concept, all concepts that the prompt names are replaced by it, except those of the whole "
    "picture, such as a style.",
)
