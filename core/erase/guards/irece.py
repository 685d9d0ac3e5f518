"""IRECE (Weng et al., WACV 2026, arXiv 2512.22877): the un-erased model shows where a thing is, and the latent is
perturbed there in early steps, so that what an inverted latent holds of it is lost.

The paper reads cross-attention; its thresholds, steps and noise are not known to us. Attention alone does not say
whether a thing is in the picture. So :mod:`.regions` finds it here, in the clean latents that the un-erased model
predicts without the concept's text. In the region these are led towards what lies around it, and their noise is drawn
anew, so that the latents stay such as the model knows at the noise level of the step. Ours: what is preserved is
looked for in the same way where a concept was found, and keeps the cells of which its text says more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ...backbone import Backbone
from ...inversion import Trajectory
from ...settings import setting
from .guard import Guard, Guarded, GuardRun, GuardSettings, GuardTask, fresh_noise, slope_of
from .regions import RegionSettings, filled, find_region, without_preserved


@dataclass(frozen=True)
class PerturbationSettings(RegionSettings, GuardSettings):
    """Settings of IRECE. Raises ``ValueError`` for values outside their range."""

    noise: float = setting(
        1.0, "Share of the variance of the noise in the region that is drawn anew, 0 to 1.", least=0, most=1
    )
    draws: int = setting(1, "How many noises are asked about in each step.", least=1)

    @property
    def cost(self) -> str:
        return (
            f"{1 + self.passes} passes of the original model a step for each concept, while the guard acts, and "
            f"{self.passes} for each preserved word and each concept that is found"
        )


@dataclass(eq=False)
class _Run(GuardRun):
    moves = True
    task: GuardTask[PerturbationSettings]
    _generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._generator = fresh_noise(self.task.seed)

    def perturbed(self, latent: Tensor, level: Tensor) -> Tensor:
        if not self.task.acts(level):
            return latent
        before = latent.split(1)
        after = [self._row(row, level) for row in before]
        changed = any(new is not old for new, old in zip(after, before, strict=True))
        return torch.cat(after) if changed else latent

    def _row(self, latent: Tensor, level: Tensor) -> Tensor:
        """The latent (1, C, h, w) of one picture, perturbed where a concept is."""
        task = self.task
        for concept in task.concepts:
            path = Trajectory(task.original, concept.anchor)
            slope = slope_of(task.original, concept.anchor, latent, level)
            clean = latent - level * slope  # (1, C, h, w), also of a flow
            cells = self._cells(concept, clean)
            if bool(cells.any()):
                noise = slope + clean if path.flow else slope  # a flow's velocity is the noise less the clean latent
                latent = self._drawn(path, latent, clean, noise, cells, level)
        return latent

    def _cells(self, concept: Guarded, clean: Tensor) -> Tensor:
        """The cells (1, h, w) bool of a clean latent (1, C, h, w) in which a concept is and nothing preserved."""
        task, settings = self.task, self.task.settings
        noises = self._generator.get_state()
        region = find_region(task.original, concept, clean, settings, self._generator)
        if not task.preserve or not bool(region.cells.any()):
            return region.cells
        kept = []
        for one in task.preserve:  # beside the same anchor and under the same noise, so that scores can be compared
            same = torch.Generator().set_state(noises)
            beside = replace(one, anchor=concept.anchor)
            kept.append(find_region(task.original, beside, clean, settings, same))
        return without_preserved(region, kept)

    def _drawn(
        self, path: Trajectory, latent: Tensor, clean: Tensor, noise: Tensor, cells: Tensor, level: Tensor
    ) -> Tensor:
        """The latent with a region's cells (1, h, w) bool led towards what lies around, under other noise."""
        share = min(self.task.settings.noise * self.task.strength, 1.0)
        fresh = torch.randn(latent.shape, generator=self._generator).to(latent)
        noise = (1 - share) ** 0.5 * noise + share**0.5 * fresh
        clean = torch.lerp(clean, filled(clean, cells), share)
        return torch.where(cells[:, None], path.noised(clean, noise, level), latent)


def check(backbone: Backbone) -> None:
    """Raise ``ValueError`` for a model without attention to words."""
    if not any(site.reads("cross") for site in backbone.attention_sites()):
        raise ValueError(f"this model ({backbone.family}) has no attention to words, by which IRECE finds a concept")


PRESETS: Mapping[str, PerturbationSettings] = {
    "paper": PerturbationSettings(end=0.5, noise=0.7, spread=3),
    "small": PerturbationSettings(start=0.6),  # before that, on the lab, the region took in all of the picture
}

METHOD = Guard(
    name="irece",
    title="IRECE",
    help="Finds the concept by the attention of the un-erased model and draws new noise there.",
    presets=PRESETS,
    begin=_Run,
    check=check,
    amplifies=False,  # its strength is a share of noise
    note="Made for models from which the concept was erased: give the model before the erasure as original.",
)
