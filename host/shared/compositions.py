"""A composition that goes with a MODEL: every sampling run on it begins an edit of its own."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...core.compose.composer import Composer, Run, share_of
from ...core.compose.composition import Composition
from ...core.sampling import same_samples

KEPT_RUNS = 4
"""Runs whose regions one composition remembers; those of an earlier one need another sampling."""


@dataclass(frozen=True, eq=False)
class PlacedRun:
    """Where the regions of a finished sampling run lie.

    Attributes:
        samples: (B, C, h, w) on the CPU, what the sampler gave.
        masks: (1 or B, R, h, w) in 0..1 on the CPU, on the cells of the latent; None where the run found no places.
    """

    samples: Tensor
    masks: Tensor | None


@dataclass(frozen=True, eq=False)
class Composed:
    """What is composed, and how.

    Attributes:
        composition: the prompt and its regions.
        composer: the method.
        settings: the method's own kind.
        node: the node that made it, for messages.
        runs: the last sampling runs that finished on it, the newest last.
    """

    composition: Composition
    composer: Composer[Any]
    settings: Any
    node: str = "Compose Concepts"
    runs: deque[PlacedRun] = field(default_factory=lambda: deque(maxlen=KEPT_RUNS))

    def begin(self, steps: int) -> Run:
        """What happens in one sampling run, by a model of so many timesteps."""
        return self.composer.begin(self.composition, self.settings, share_of(steps))

    def finished(self, run: Run, samples: Tensor) -> None:
        """Keep where the regions of a run lie that gave these samples (B, C, h, w), or (B, C, 1, h, w)."""
        masks = run.places((samples.shape[-2], samples.shape[-1]))
        kept = None if masks is None else masks.detach().float().cpu().clone()
        self.runs.append(PlacedRun(samples.detach().float().cpu().clone(), kept))

    def run_of(self, samples: Tensor) -> tuple[PlacedRun, str]:
        """The newest run that gave these samples, and what is to be said about the choice ("" if nothing).

        Latents that were changed after sampling cannot be assigned to a run: then it is the last run.
        Raises ``ValueError`` where no run has finished.
        """
        if not self.runs:
            raise ValueError(
                f"no sampler has finished on the MODEL of this {self.node}: connect that MODEL to the sampler, and the "
                "LATENT of that sampler here"
            )
        same = [run for run in self.runs if same_samples(run.samples, samples)]
        if same or len(self.runs) == 1:
            return (same or self.runs)[-1], ""
        return self.runs[-1], (
            f"This latent did not come straight out of the last {len(self.runs)} runs on the MODEL; the regions are "
            "those of the last run."
        )

    def reads(self, context: Tensor | None) -> bool:
        """Whether a positive context (1 or B, L, D) is that of the composition."""
        own = self.composition.conditioning.context
        if context is None or context.shape[1:] != own.shape[1:]:
            return False
        return torch.equal(context[:1].to(own.device, own.dtype), own)

    def check_sampled(self, reads: bool, twice: bool = False) -> None:
        """Raise ``ValueError`` unless the positive text of a sampling run is that of the composition; ``twice``: of
        one of several on the same MODEL."""
        if not reads and twice:
            raise ValueError(
                f"this MODEL went through {self.node} more than once, and each wants its own CONDITIONING: write all "
                f"concepts into one {self.node}"
            )
        if not reads:
            raise ValueError(
                f"the MODEL of {self.node} was sampled with another positive CONDITIONING: connect the CONDITIONING of "
                f"the same {self.node} to the positive input of the sampler"
            )
