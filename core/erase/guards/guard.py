"""The record of a method of erasing while a picture is sampled, and what it does in one sampling run."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ...backbone import AttentionInputs, Backbone, Conditioning, TokenizedText
from ...compose.composer import share_of
from ...inversion import Trajectory, level_table
from ...schedule import FlowSchedule, timestep_of_sigma
from ...settings import Settings, preset_of, setting


@dataclass(frozen=True)
class GuardSettings(Settings):
    """What every guard has; each field's help is in its metadata."""

    start: float = setting(0.0, "Share of denoising from which the guard acts, 0 is the first step.")
    end: float = setting(1.0, "Share of denoising to which the guard acts, 1 is the last step.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.start < self.end <= 1:
            raise ValueError(f"start and end must be a span within 0 to 1, got {self.start:g} and {self.end:g}")

    @property
    def cost(self) -> str:
        """What guarding costs, for people."""
        raise NotImplementedError


S = TypeVar("S", bound=GuardSettings)


@dataclass(frozen=True, eq=False)
class Guarded:
    """A concept to keep out of pictures.

    Attributes:
        name: the concept, for people.
        conditioning: (1, L, D) of its text.
        tokens: how that text is read.
        places: positions of the concept in it.
        anchor: (1, L, D) of what may be drawn in its place; the empty text where nothing was named.
    """

    name: str
    conditioning: Conditioning
    tokens: TokenizedText
    places: tuple[int, ...]
    anchor: Conditioning


@dataclass(frozen=True, eq=False)
class GuardTask(Generic[S]):
    """What a guard is asked for.

    Attributes:
        backbone: the model that is sampled, without the guard.
        original: the model before anything was erased; the same where none was given.
        concepts: what to keep out, at least one.
        settings: the method's own kind.
        strength: factor on the correction. Below 0 the concept is strengthened where it is, by methods that amplify.
        seed: of what the guard draws.
        preserve: what shall stay: a guard takes nothing out along these, or where they are.
    """

    backbone: Backbone
    original: Backbone
    concepts: tuple[Guarded, ...]
    settings: S
    strength: float = 1.0
    seed: int = 0
    preserve: tuple[Guarded, ...] = ()

    def acts(self, level: Tensor) -> bool:
        """Whether the guard acts at a noise level ()."""
        return self.settings.start <= self.share(level) <= self.settings.end

    def share(self, level: Tensor) -> float:
        """The share of denoising that is done at a noise level ()."""
        schedule = self.backbone.schedule
        table = level_table(schedule)
        level = level.cpu().to(table)  # in float64, which not every device has
        flow = isinstance(schedule, FlowSchedule)
        step = (table - level).abs().argmin() if flow else timestep_of_sigma(level, table)
        return share_of(len(table))(float(step))


class GuardRun:
    """What a guard does in one sampling run. Latents (B, C, h, w) are as samplers hold them, see
    :class:`~...inversion.Trajectory`; each method here leaves all as it is."""

    edits = False
    """Whether :meth:`edit` does anything."""
    moves = False
    """Whether :meth:`perturbed` does anything."""

    def perturbed(self, latent: Tensor, level: Tensor) -> Tensor:
        """The latent that a step begins with, at a noise level ()."""
        return latent

    def corrected(self, slope: Tensor, latent: Tensor, level: Tensor, guidance: float) -> Tensor:
        """The prediction to go on with: the noise, or a flow's velocity, after guidance of this scale."""
        return slope

    def edit(self, inputs: AttentionInputs) -> Tensor | None:
        """Another output of an attention layer, see :data:`~...backbone.AttentionEdit`."""
        return None

    def finished(self, samples: Tensor) -> None:
        """Called once, when the run ends well, with what it gave (B, C, h, w)."""


def fresh_noise(seed: int) -> torch.Generator:
    """A generator for noise that a sampler with the same seed has not drawn: nodes and samplers often share one."""
    return torch.Generator().manual_seed((seed + 0x9E3779B9) % 2**63)


Guarding = Callable[[Backbone], GuardRun]
"""Makes what guards one run of a model."""


def guarded_step(guard: GuardRun, path: Trajectory, latent: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """The latents (B, C, h, w) that a step of a sampler begins with at a level (), and their slope, under a guard."""
    latent = guard.perturbed(latent, level)
    with path.backbone.edit_attention(guard.edit) if guard.edits else nullcontext():
        slope = path.slope(latent, level)
    return latent, guard.corrected(slope, latent, level, path.guidance)


@dataclass(frozen=True, eq=False)
class DirectionRun(GuardRun, Generic[S]):
    """A guard that takes a share of the direction from each concept's anchor to the concept out of the prediction.

    The direction has no component in the span of those from the same anchor to what is preserved.
    """

    task: GuardTask[S]

    def corrected(self, slope: Tensor, latent: Tensor, level: Tensor, guidance: float) -> Tensor:
        task, result = self.task, slope
        if not task.acts(level):
            return result
        kept = [slope_of(task.backbone, one.conditioning, latent, level) for one in task.preserve]
        for concept in task.concepts:
            of_concept = slope_of(task.backbone, concept.conditioning, latent, level)
            of_anchor = slope_of(task.backbone, concept.anchor, latent, level)
            direction = without_span(of_concept - of_anchor, [one - of_anchor for one in kept])  # (B, C, h, w)
            share = self.taken(result, result - of_anchor, direction, guidance)
            result = result - task.strength * share * direction
        return result

    def taken(self, result: Tensor, beyond: Tensor, direction: Tensor, guidance: float) -> Tensor | float:
        """The share of a direction (B, C, h, w) that is taken out: a number, or (B, 1, 1, 1).

        Args:
            result: (B, C, h, w) the prediction as the concepts before left it.
            beyond: (B, C, h, w) the same less the prediction of the anchor.
            direction: (B, C, h, w) from the anchor's prediction to the concept's.
            guidance: the sampler's scale.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Guard(Generic[S]):
    """A method of erasing while a picture is sampled.

    Attributes:
        name: its name in workflows and :data:`.registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings: ``paper`` first, and ``small`` for the lab model.
        begin: makes what acts in one sampling run.
        check: raises ``ValueError`` for a model that the method cannot guard.
        note: what people should know beside; whole sentences, may be empty.
        amplifies: whether it takes a strength below 0, with which it strengthens the concept.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, S]
    begin: Callable[[GuardTask[S]], GuardRun]
    check: Callable[[Backbone], None] = lambda backbone: None
    note: str = ""
    amplifies: bool = True

    def preset(self, name: str) -> S:
        """Named settings. Raises ``ValueError`` for a name it does not have, listing those it has."""
        return preset_of(self, name)


def slope_of(backbone: Backbone, conditioning: Conditioning, latent: Tensor, level: Tensor) -> Tensor:
    """What a model predicts under a text for latents (B, C, h, w) at a noise level ()."""
    with torch.no_grad():
        return Trajectory(backbone, conditioning).slope(latent, level)


def along(slope: Tensor, direction: Tensor) -> Tensor:
    """(B, 1, 1, 1) the share of each direction in a prediction: ``<slope, d> / <d, d>``."""
    length = direction.square().sum((1, 2, 3), keepdim=True)
    return (slope * direction).sum((1, 2, 3), keepdim=True) / length.clamp_min(torch.finfo(length.dtype).tiny)


def without_span(direction: Tensor, others: Sequence[Tensor]) -> Tensor:
    """A direction (B, C, h, w) of each row without its component in the span of others, each (B, C, h, w); 0 where
    nothing but rounding is left."""
    if not others:
        return direction
    rows = torch.stack([other.flatten(1) for other in others], dim=1).float()  # (B, n, N)
    flat = direction.flatten(1).float()[..., None]  # (B, N, 1)
    # The inverse on the span alone: others may be alike, and one may be the anchor itself, which is no direction.
    alike = (rows @ rows.mT).cpu().double()  # float64, which not every device has
    inverse = torch.linalg.pinv(alike, hermitian=True, rtol=1e-6).to(rows)  # (B, n, n)
    left = flat - rows.mT @ (inverse @ (rows @ flat))
    left = torch.where(left.norm(dim=1, keepdim=True) > 1e-3 * flat.norm(dim=1, keepdim=True), left, 0.0)
    return left.view_as(direction).to(direction)
