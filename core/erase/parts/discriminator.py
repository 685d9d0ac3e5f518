"""A membership discriminator: which of two domains does a denoised latent come from?

Wu et al. (DoCo, arXiv 2405.15304) take the discriminator of patches by Isola et al. (arXiv 1611.07004): convolutions of
4x4 with stride 2, and one that gives a logit for each patch. With p the density of members and q that of the others,
both drawn as often, the loss ``-log(1 - D)`` of members and ``-log D`` of the others is least at ``D = q / (p + q)``.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ...learn.engine.loop import LoopSettings

WIDTHS = (64, 128, 256, 512)
BETAS = (0.5, 0.999)


class Discriminator:
    """The discriminator with its optimiser, Adam.

    Args:
        channels: C of latents.
        side: the shorter side of latents in cells, which bounds the depth; 4 or more.
        rate: learning rate.
        generator: the random source of its first weights, on the CPU.
        device: where it lives.

    Attributes:
        parameters: its weights.

    Raises ``ValueError`` for latents of fewer than 4 cells a side.
    """

    def __init__(
        self, channels: int, side: int, rate: float, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> None:
        if side < 4:
            raise ValueError(f"the discriminator reads latents of 4 cells a side or more, these have {side}")
        self._net = _patches(channels, WIDTHS[: min(len(WIDTHS), int(math.log2(side)) - 1)])
        for module in self._net:
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                module.weight.data.normal_(0.0, 0.02, generator=generator)
                module.bias.data.zero_()
        self._net.to(device)
        self.parameters, self._rate = list(self._net.parameters()), rate
        self._optimiser = torch.optim.Adam(self.parameters, lr=rate, betas=BETAS)
        for parameter in self.parameters:  # as after no update, so that a state has one shape from the first
            zeros = torch.zeros_like(parameter)
            self._optimiser.state[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": zeros,
                "exp_avg_sq": zeros.clone(),
            }

    def logits(self, latents: Tensor) -> Tensor:
        """Of latents (B, C, h, w) the logits (B, 1, m, n) of not being a member; gradients reach the latents."""
        return self._net(latents)

    def loss(self, members: Tensor, others: Tensor) -> Tensor:
        """The loss of telling latents apart, ``2 log 2`` where it cannot; gradients reach the discriminator alone."""
        return discrimination(self.logits(members.detach()), self.logits(others.detach()))

    def loop(self, steps: int) -> LoopSettings:
        """How to train it alone."""
        return LoopSettings(steps, self._rate, weight_decay=0.0, clip_norm=float("inf"), betas=BETAS)

    def train(self, members: Tensor, others: Tensor) -> float:
        """One update to separate latents; gives the loss before it."""
        loss = self.loss(members, others)
        gradients = torch.autograd.grad(loss, self.parameters)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())

    def state(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs."""
        found: dict[str, Tensor] = {}
        for index, parameter in enumerate(self.parameters):
            found[f"discriminator.{index}"] = parameter.detach()
            found |= {f"discriminator.{index}.{key}": one for key, one in self._optimiser.state[parameter].items()}
        return found

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`."""
        for index, parameter in enumerate(self.parameters):
            parameter.copy_(state[f"discriminator.{index}"])
            for key, one in self._optimiser.state[parameter].items():
                one.copy_(state[f"discriminator.{index}.{key}"])


def discrimination(members: Tensor, others: Tensor) -> Tensor:
    """The discriminator's loss for logits of members and of others."""
    return softplus(members).mean() + softplus(-others).mean()


def membership(logits: Tensor) -> Tensor:
    """The loss of latents that want to be taken for members."""
    return softplus(logits).mean()


def _patches(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, width in enumerate(widths):
        layers.append(nn.Conv2d(widths[index - 1] if index else channels, width, 4, stride=2, padding=1))
        if index:
            # Statistics of the batch alone: none are kept from step to step.
            layers.append(nn.BatchNorm2d(width, track_running_stats=False))
        layers.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))
