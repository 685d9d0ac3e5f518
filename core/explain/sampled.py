"""Activations of what a sampler passes through, at noise levels that were chosen.

While any sampler runs, the latent of each chosen level is kept, on the straight step that the sampler's prediction
leads along: where a step begins at the level or above it, ``x + (level - now) * slope``, and the last such step counts.
That is where Euler's steps pass. Nothing is changed and nothing more is asked of the model, so the pictures stay bit
for bit. The model reads the kept latents afterwards, as it reads pictures with so much noise: the activations are like
those of :func:`.recording.record_denoiser`, and have the same origin.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..backbone import Backbone
from ..erase.guards.guard import GuardRun
from ..inversion import level_table
from ..messages import counted, listed
from ..sampling import same_samples
from ..schedule import FlowSchedule, timestep_of_noise
from .activations import Activations, check_memory
from .recording import BATCH, OnStep, find_site, origin_of, read_site

KEPT_RUNS = 8
"""Of the latest sampling runs."""


@dataclass(eq=False)
class SampledRun(GuardRun):
    """What one sampling run passed through.

    Attributes:
        levels: share of noise to the sampler's noise level () there.
        latents: share of noise to latents (B, C, h, w) on the CPU, as the sampler holds them.
        keep: called with the run once it ends well; an interrupted run leaves nothing.
        samples: (B, C, h, w) on the CPU, what the sampler gave; None until the run ends.
    """

    levels: dict[float, Tensor]
    latents: dict[float, Tensor] = field(default_factory=dict)
    keep: Callable[["SampledRun"], None] = lambda run: None
    samples: Tensor | None = None

    def corrected(self, slope: Tensor, latent: Tensor, level: Tensor, guidance: float) -> Tensor:
        now = float(level)
        for share, wanted in self.levels.items():
            if now >= float(wanted) * (1 - 1e-4):
                self.latents[share] = (latent + (float(wanted) - now) * slope).detach().float().cpu()
        return slope

    def finished(self, samples: Tensor) -> None:
        self.samples = samples.detach().float().cpu().clone()
        self.keep(self)

    def gave(self, samples: Tensor) -> bool:
        """Whether ``samples`` (B, C, h, w) are what came out of this run."""
        return same_samples(self.samples, samples)


@dataclass(eq=False)
class Recording:
    """What samplers passed through; goes with a MODEL as guards do.

    Attributes:
        shares: of noise, each in 0..1.
        runs: the latest sampling runs that ended well, the last one last.
    """

    shares: tuple[float, ...]
    runs: deque[SampledRun] = field(default_factory=lambda: deque(maxlen=KEPT_RUNS))
    title: str = "Record While Sampling"
    original: None = None
    alternative: str = ""

    def __post_init__(self) -> None:
        if not self.shares or not all(0 <= share <= 1 for share in self.shares):
            raise ValueError(f"noise must be shares of 0 to 1, at least one, got {listed(map(str, self.shares))}")

    def check(self, backbone: Backbone) -> None:
        """Every model can be recorded."""

    def acts(self, backbone: Backbone, level: Tensor) -> bool:
        """Every noise level is watched."""
        return True

    def begin(self, backbone: Backbone, original: Backbone) -> GuardRun:
        """What watches one sampling run of a model."""
        table = level_table(backbone.schedule)
        levels = {share: table[timestep_of_noise(backbone.schedule, share)[0]] for share in self.shares}
        return SampledRun(levels, keep=self.runs.append)

    def latents(self, share: float, samples: Tensor) -> tuple[Tensor, str]:
        """(B, C, h, w) of the run that gave ``samples`` (B, C, h, w), at a share of noise, and what is to be said about
        the choice ("" if nothing).

        Latents that were changed after sampling cannot be assigned to a run: then it is the last of so many pictures.
        Raises ``ValueError`` where nothing was recorded, and says why.
        """
        if share not in self.shares:
            there = listed(f"{one:g}" for one in self.shares)
            raise ValueError(f"noise {share:g} was not recorded, only {there}; name it in Record While Sampling")
        run, note = self._run_of(samples)
        if share not in run.latents:
            raise ValueError(
                f"the sampler began with less noise than {share:g}; record a lower noise, or raise denoise"
            )
        return run.latents[share], note

    def _run_of(self, samples: Tensor) -> tuple[SampledRun, str]:
        if not self.runs:
            raise ValueError(
                "nothing was recorded: no sampler has run on the MODEL that Record While Sampling gave; connect that "
                "one to the sampler"
            )
        found = [run for run in self.runs if run.gave(samples)]
        if found:
            return found[-1], ""
        as_many = [run for run in self.runs if run.samples is not None and len(run.samples) == len(samples)]
        if not as_many:
            sizes = listed(str(len(run.samples)) for run in self.runs if run.samples is not None)
            raise ValueError(
                f"runs of {sizes} pictures were recorded, and {len(samples)} are connected; connect their latent"
            )
        if len(self.runs) == 1:
            return as_many[-1], ""
        return as_many[-1], (
            f"This latent did not come straight out of the last {len(self.runs)} runs of the recorded "
            f"MODEL; the last run with {counted(len(samples), 'picture')} was read."
        )


@torch.no_grad()
def read_recording(
    backbone: Backbone,
    recording: Recording,
    share: float,
    samples: Tensor,
    site: str = "",
    text: str = "",
    on_step: OnStep | None = None,
) -> tuple[Activations, str]:
    """Activations of the recorded run that gave ``samples`` (B, C, h, w), at a share of noise and a site, and what is
    to be said about the choice of the run (:meth:`Recording.latents`).

    Args:
        backbone: the model that was sampled, with the text encoder.
        site: see :func:`.recording.find_site`.
        text: the prompt meanwhile, one for all pictures.

    Raises ``ValueError`` as :meth:`Recording.latents` does, and for an unknown site.
    """
    (latents, note), chosen, count = recording.latents(share, samples), find_site(backbone, site), len(samples)
    timestep = timestep_of_noise(backbone.schedule, share)
    level = level_table(backbone.schedule)[timestep[0]]
    flow = isinstance(backbone.schedule, FlowSchedule)
    seen = latents if flow else latents / (1 + float(level) ** 2) ** 0.5  # of unit variance, as models read them
    conditioning, parts = backbone.encode_text([text]), []
    grid = (0, 0)
    for number, part in enumerate(seen.split(BATCH)):
        found, grid = read_site(backbone, chosen, part.to(conditioning.context.device), timestep, conditioning)
        if number == 0:
            check_memory(count, *found.shape[1:])
        parts.append(found)
        if on_step is not None:
            on_step(min(count, (number + 1) * BATCH), count)
    rows = torch.cat(parts)
    return Activations(rows, grid, origin_of(backbone, chosen, rows.shape[-1], share, text)), note
