"""A composition that goes with a MODEL: every sampling run on it begins an edit of its own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...core.compose.composer import Composer, Run, share_of
from ...core.compose.composition import Composition


@dataclass(frozen=True, eq=False)
class Composed:
    """What is composed, and how.

    Attributes:
        composition: the prompt and its regions.
        composer: the method.
        settings: the method's own kind.
        node: the node that made it, for messages.
    """

    composition: Composition
    composer: Composer[Any]
    settings: Any
    node: str = "Compose Concepts"

    def begin(self, steps: int) -> Run:
        """What happens in one sampling run, by a model of so many timesteps."""
        return self.composer.begin(self.composition, self.settings, share_of(steps))

    def reads(self, context: Tensor | None) -> bool:
        """Whether a positive context (1 or B, L, D) is that of the composition."""
        own = self.composition.conditioning.context
        if context is None or context.shape[1:] != own.shape[1:]:
            return False
        return torch.equal(context[:1].to(own.device, own.dtype), own)

    def check_sampled(self, reads: bool) -> None:
        """Raise ``ValueError`` unless the positive text of a sampling run is that of the composition."""
        if not reads:
            raise ValueError(
                f"the MODEL of {self.node} was sampled with another positive CONDITIONING: connect the CONDITIONING of "
                f"the same {self.node} to the positive input of the sampler"
            )
