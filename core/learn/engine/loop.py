"""The optimisation loop of every training."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LoopSettings:
    """How to optimise.

    Attributes:
        steps: updates, at least 1.
        rate: AdamW's learning rate at the first step.
        final_rate: share of it at the last step; in between it falls linearly.
        weight_decay: AdamW's decoupled weight decay.
        clip_norm: the gradient's largest norm over all vectors together.
        patience: ends the training early, when the mean loss of the last ``patience`` updates is not below that of as
            many before by ``tolerance`` of it; 0 never does.
        tolerance: see ``patience``, 0..1.
        earliest: losses of the first ``earliest`` updates are not judged.
        parts: an update's gradient is the mean of so many losses, taken one after the other to bound memory.
        later: ``(step, factor)``: from this update on the rate is multiplied by the factor.
        betas: AdamW's decay rates of its two moments.
    """

    steps: int
    rate: float
    final_rate: float = 1.0
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    patience: int = 0
    tolerance: float = 0.0
    earliest: int = 0
    parts: int = 1
    later: tuple[int, float] = (0, 1.0)
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.rate > 0 or not self.clip_norm > 0:
            raise ValueError(
                f"training needs steps, rate and clip_norm above 0, got {self.steps}, {self.rate}, {self.clip_norm}"
            )
        if self.parts < 1:
            raise ValueError(f"an update needs at least 1 part, got {self.parts}")
        if self.patience < 0 or not 0 <= self.tolerance <= 1:
            raise ValueError(f"patience is 0 or more, tolerance 0..1, got {self.patience} and {self.tolerance}")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step counted from 0."""
        share = step / max(self.steps - 1, 1)
        factor = self.later[1] if step >= self.later[0] else 1.0
        return self.rate * factor * (1 + (self.final_rate - 1) * share)

    def is_flat(self, losses: Sequence[float]) -> bool:
        """Whether the losses so far no longer fall."""
        judged = losses[self.earliest :]
        if not self.patience or len(judged) < 2 * self.patience:
            return False
        before, now = sum(judged[-2 * self.patience : -self.patience]), sum(judged[-self.patience :])
        return now >= before - self.tolerance * abs(before)


def optimise(
    parameters: Sequence[Tensor],
    loss_of: Callable[[int], Tensor],
    settings: LoopSettings,
    after_step: Callable[[int, float], None] | None = None,
    shares: Sequence[float] = (),
) -> Tensor:
    """Minimise a loss over a few tensors, and touch nothing else.

    Gradients are taken with respect to ``parameters`` alone: no other tensor gets a ``.grad``, whatever its
    ``requires_grad`` says. An exception of ``loss_of`` or ``after_step`` ends the training and passes through.

    Args:
        parameters: leaves that require gradients; changed in place.
        loss_of: step counted from 0 to a scalar loss; called once per part of an update.
        settings: see :class:`LoopSettings`.
        after_step: called with the number of finished steps and the loss.
        shares: shares of the learning rate, one per parameter; by default each has the whole.

    Returns:
        float32 losses, one an update: ``settings.steps``, or fewer when the loss no longer falls.

    Raises ``FloatingPointError`` when the loss or its gradient is no longer finite.
    """
    return Optimisation(parameters, settings, shares).run(loss_of, after_step)


class Optimisation:
    """What :func:`optimise` does, with a state that can be saved and restored.

    Attributes:
        losses: losses of the updates so far.
    """

    def __init__(self, parameters: Sequence[Tensor], settings: LoopSettings, shares: Sequence[float] = ()) -> None:
        self.parameters, self.settings = list(parameters), settings
        self.shares = shares or [1.0] * len(self.parameters)
        groups = [{"params": [parameter]} for parameter in self.parameters]
        self.optimiser = torch.optim.AdamW(
            groups, lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay
        )
        self.losses: list[float] = []

    def run(
        self,
        loss_of: Callable[[int], Tensor],
        after_step: Callable[[int, float], None] | None = None,
        ended: Callable[[int], bool] = lambda made: False,
    ) -> Tensor:
        """Make the remaining updates; arguments, result and errors as for :func:`optimise`. ``ended`` says whether the
        training is at its end after so many updates; it is asked before each."""
        while not self._at_end(ended):
            self._update(loss_of)
            if after_step is not None:
                after_step(len(self.losses), self.losses[-1])
        return torch.tensor(self.losses)

    def state(self) -> dict[str, Tensor]:
        """Copies on the CPU of all that :meth:`restore` needs beside the parameters' own values."""
        moments = {
            f"{index}.{name}": value.detach().cpu().clone()
            for index, parameter in enumerate(self.parameters)
            for name, value in self.optimiser.state[parameter].items()
        }
        return {"losses": torch.tensor(self.losses, dtype=torch.float64), **moments}

    def blank(self, made: int) -> dict[str, Tensor]:
        """What :meth:`state` holds of the optimiser after ``made`` updates: names, shapes and types, not the values."""
        if made == 0:
            return {}
        found: dict[str, Tensor] = {}
        for index, parameter in enumerate(self.parameters):
            like = torch.zeros_like(parameter, device="cpu", requires_grad=False)
            found |= {f"{index}.step": torch.tensor(0.0), f"{index}.exp_avg": like, f"{index}.exp_avg_sq": like}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a :meth:`state`; the parameters must hold their values of then."""
        self.losses = state["losses"].tolist()
        for index, parameter in enumerate(self.parameters):
            own = {name: value for name, value in state.items() if name.startswith(f"{index}.")}
            self.optimiser.state[parameter] = {
                # AdamW counts steps on the CPU wherever the parameter lives.
                (key := name.partition(".")[2]): value.clone() if key == "step" else value.to(parameter).clone()
                for name, value in own.items()
            }

    def _at_end(self, ended: Callable[[int], bool]) -> bool:
        made = len(self.losses)
        return made >= self.settings.steps or self.settings.is_flat(self.losses) or ended(made)

    def _update(self, loss_of: Callable[[int], Tensor]) -> None:
        step = len(self.losses)
        self.losses.append(_take_gradients(self.parameters, loss_of, step, self.settings.parts))
        _finite(torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm), step, "gradient")
        for group, share in zip(self.optimiser.param_groups, self.shares, strict=True):
            group["lr"] = self.settings.rate_at(step) * share
        self.optimiser.step()


def _take_gradients(parameters: Sequence[Tensor], loss_of: Callable[[int], Tensor], step: int, parts: int) -> float:
    """Mean loss of an update's parts; the parameters' ``.grad`` is its gradient."""
    total = 0.0
    for part in range(parts):
        loss = loss_of(step) / parts
        total += _finite(loss, step, "loss")
        # A loss may leave a parameter out: ConES fits rows of text, and FLUX.1's CLIP-L gives the pooled text alone.
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for parameter, gradient in zip(parameters, found, strict=True):
            # Cloned, since autograd may hand out a view that clipping cannot write to.
            parameter.grad = gradient.clone() if part == 0 or parameter.grad is None else parameter.grad + gradient
    return total


def draw_timesteps(
    total: int, span: tuple[float, float], count: int, generator: torch.Generator, even: bool = False
) -> Tensor:
    """``count`` timesteps, uniform over a span given as shares of ``total`` (0 = clean, 1 = noise): (count,) long.

    ``even``: one out of each of ``count`` equal parts of the span, in random order, which lowers the variance of their
    mean; each is still uniform over the span.
    """
    low = min(int(span[0] * total), total - 1)
    high = min(max(int(span[1] * total), low + 1), total)
    if not even:
        return torch.randint(low, high, (count,), generator=generator)
    places = torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)  # (count,)
    return low + (places / count * (high - low)).long().clamp_max(high - low - 1)


def _finite(number: Tensor, step: int, what: str) -> float:
    value = float(number.detach())
    if not math.isfinite(value):
        raise FloatingPointError(f"the {what} became {value} at step {step + 1}: lower the learning rate")
    return value
