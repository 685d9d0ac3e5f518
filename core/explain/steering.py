"""Ingredients that are replaced or attenuated while a picture is sampled, or added as an experiment.

**Replace** follows PER (*look but don't touch*, arXiv 2606.31699): codes only detect where an ingredient is, and what
is drawn there is replaced by what is drawn without it. At every step the clean picture that the model is about to draw
is noised as the bank's pictures were and read at the bank's layer; where the ingredient is found, the prediction
becomes that of a text without it. Patches of the prediction are replaced, not those of a layer (ours: the paper's
source of patches is not known to us). Where nothing is found, the prediction stays bit for bit.

**Attenuate** is APP (:mod:`.attenuation`): a code falls by the probability that it means the concept.

**Add** moves queries and keys along the direction. It is an experiment: nothing says that a direction which is found in
activations causes what it is found with.

Attenuating and adding change no position by more than a share of its own length, since a layer does not know what to
do with activations that it never sees (PER).
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from ..backbone import AttentionInputs, Backbone, Conditioning
from ..erase.guards.guard import GuardRun, GuardSettings, GuardTask, fresh_noise, slope_of
from ..schedule import FlowSchedule, timestep_of_noise
from .activations import Activations
from .attenuation import Posteriors, check_model
from .bank import ConceptBank
from .parts.changed_attention import attend_changed, recorded_rows
from .recording import find_site, noised_latents, read_site
from .registry import encode

How = Literal["replace", "attenuate", "add"]
HOWS: tuple[How, ...] = ("replace", "attenuate", "add")
MOST_CHANGE = 0.5


@dataclass(frozen=True, eq=False)
class Steering:
    """What is done with ingredients.

    Attributes:
        bank: the ingredients, found in a denoiser.
        concepts: numbers of those that are meant, from 0.
        how: one of :data:`HOWS`.
        empty: (1, L, D) the empty text.
        instead: (1, L, D) a text without the ingredients, for ``replace``; the empty one draws anything.
        strength: factor; of ``add`` how many peaks are added.
        threshold: share of the peak from which a cell shows an ingredient.
        settings: the span of denoising.
        posteriors: of ``attenuate``.
        seed: of the noise by which pictures are read.
        most_change: by which share of its length a position's queries and keys change at most, when ingredients are
            attenuated or added.
        recorded: (1, L, D) the text under which the bank's pictures were recorded; None for the empty one.
        original: what hosts ask of every guard; steering asks no other model.
        alternative: the way that hosts name where a latent must not move.
    """

    bank: ConceptBank
    concepts: tuple[int, ...]
    how: How
    empty: Conditioning
    instead: Conditioning
    strength: float = 1.0
    threshold: float = 0.5
    settings: GuardSettings = field(default_factory=GuardSettings)
    posteriors: Posteriors | None = None
    seed: int = 0
    most_change: float = MOST_CHANGE
    recorded: Conditioning | None = None
    original: None = None
    alternative: str = "attenuate"

    @property
    def title(self) -> str:
        """For people."""
        return f"Steer Ingredients ({self.how})"

    def check(self, backbone: Backbone) -> None:
        """Raises ``ValueError`` for ingredients of another model, and for attenuation without a posterior."""
        check_model(backbone, self.bank)
        if self.how == "attenuate" and self.posteriors is None:
            raise ValueError(
                "attenuate needs pictures with the concept and without, or activations of both; connect them"
            )

    def begin(self, backbone: Backbone, original: Backbone) -> GuardRun:
        """What acts in one sampling run of a model."""
        task = self._task(backbone)
        return ReplaceRun(self, task) if self.how == "replace" else EditRun(self, task)

    def acts(self, backbone: Backbone, level: Tensor) -> bool:
        """Whether it acts at a noise level () of a model."""
        return self._task(backbone).acts(level)

    def _task(self, backbone: Backbone) -> GuardTask[GuardSettings]:
        return GuardTask(backbone, backbone, (), self.settings, self.strength, self.seed)


class ReplaceRun(GuardRun):
    """One sampling run in which what is drawn at an ingredient's cells is replaced. Cells once found stay found.

    A cell that is found holds some of the ingredient already. Before the next step it gets fresh noise around the mean
    of the clean cells where nothing was found.
    """

    moves = True

    def __init__(self, steering: Steering, task: GuardTask[GuardSettings]) -> None:
        self.steering, self.task = steering, task
        self.found: Tensor | None = None  # (B, 1, h, w)
        self.fresh: tuple[Tensor, Tensor] | None = None  # cells (B, 1, h, w) to renew, and with what (B, C, 1, 1)
        self.generator = fresh_noise(steering.seed)

    def perturbed(self, latent: Tensor, level: Tensor) -> Tensor:
        if self.fresh is None:
            return latent
        cells, mean = self.fresh
        self.fresh = None
        noise = torch.randn(latent.shape, generator=self.generator).to(latent)
        share = 1 - level if isinstance(self.task.backbone.schedule, FlowSchedule) else 1
        renewed = share * mean + level * noise
        return latent + self.steering.strength * cells * (renewed - latent)

    def corrected(self, slope: Tensor, latent: Tensor, level: Tensor, guidance: float) -> Tensor:
        steering, backbone = self.steering, self.task.backbone
        if not self.task.acts(level):
            return slope
        clean = latent - level * slope
        found = self._remembered(self._cells(clean), clean)
        if not bool(found.any()):
            return slope
        nothing = slope_of(backbone, steering.empty, latent, level)
        other = nothing
        if steering.instead is not steering.empty:
            other = nothing + guidance * (slope_of(backbone, steering.instead, latent, level) - nothing)
        return slope + steering.strength * found.to(slope) * (other - slope)

    def _remembered(self, now: Tensor, clean: Tensor) -> Tensor:
        """Cells (B, 1, h, w) that were found now or before; those that are new are renewed before the next step."""
        before = torch.zeros_like(now) if self.found is None or self.found.shape != now.shape else self.found
        self.found = torch.maximum(before, now)
        rest = (1 - self.found).to(clean)
        new = (self.found - before).to(clean) * rest.amax((2, 3), keepdim=True)  # nothing to renew from: left alone
        if bool(new.any()):
            mean = (clean * rest).sum((2, 3), keepdim=True) / rest.sum((2, 3), keepdim=True).clamp(min=1)
            self.fresh = (new, mean)
        return self.found

    def _cells(self, clean: Tensor) -> Tensor:
        """(B, 1, h, w) 1 at cells of clean latents that show an ingredient, and at their neighbours."""
        steering, backbone = self.steering, self.task.backbone
        origin, text = steering.bank.origin, steering.recorded or steering.empty
        timestep = timestep_of_noise(backbone.schedule, origin.noise or 0.0)
        noised = noised_latents(backbone, clean, timestep, steering.seed)
        rows, grid = read_site(backbone, find_site(backbone, origin.site), noised, timestep, text)
        codes = encode(steering.bank, Activations(rows, grid, origin))
        maps = codes.maps(steering.concepts).amax(1, keepdim=True)  # (B, 1, h, w)
        sized = interpolate(maps, clean.shape[-2:], mode="bilinear")
        return max_pool2d((sized > steering.threshold).float(), 3, stride=1, padding=1)


class EditRun(GuardRun):
    """One sampling run in which queries and keys of the bank's layer are changed along ingredients."""

    edits = True

    def __init__(self, steering: Steering, task: GuardTask[GuardSettings]) -> None:
        self.steering, self.task = steering, task
        self.acts, self.posterior = True, None if steering.posteriors is None else steering.posteriors.each[0]

    def perturbed(self, latent: Tensor, level: Tensor) -> Tensor:
        self.acts = self.task.acts(level)
        if self.steering.posteriors is not None:
            self.posterior = self.steering.posteriors.at(self.task.backbone, level)
        return latent

    def edit(self, inputs: AttentionInputs) -> Tensor | None:
        steering, bank, site = self.steering, self.steering.bank, inputs.call.site
        if not self.acts or site.name != bank.origin.site or inputs.call.kind != "self":
            return None
        rows = recorded_rows(inputs).float().cpu()  # (B, h * w, D)
        moved = self._moved(rows, inputs.call.grid)  # (B, h * w, n)
        changes = moved @ (bank.directions[list(steering.concepts)] * bank.scale)  # (B, h * w, D)
        most = steering.most_change * rows.norm(dim=-1, keepdim=True)
        length = changes.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return attend_changed(inputs, changes * (most / length).clamp(max=1))

    def _moved(self, rows: Tensor, grid: tuple[int, int]) -> Tensor:
        """By how much the codes of the chosen concepts change at each position."""
        steering, bank, chosen = self.steering, self.steering.bank, list(self.steering.concepts)
        if steering.how == "add":
            return steering.strength * bank.peaks[chosen].expand(*rows.shape[:2], -1)
        assert self.posterior is not None
        codes = encode(bank, Activations(rows, grid, bank.origin)).values  # (B, h * w, K)
        return -steering.strength * (codes * self.posterior.of(codes))[..., chosen]
