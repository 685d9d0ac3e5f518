"""Calibrated localising: a mask over a fine-tune's changes, trained on pictures that show its skill
(Localize-and-Stitch, He et al., TMLR 2025, arXiv 2408.13656).

    S* = argmin_S  L(theta_0 + sigmoid(S) * tau) + lambda * penalty(sigmoid(S)) ,   gamma = 1[sigmoid(S) > 1/2]

The paper starts S at +5 where tau is greatest and at -5 elsewhere, takes full-batch steps of rate 1e7, and its code
pushes masks to either end (``binarise``) whereas its equation makes them small (``sparsify``); both are here. Ours: S
starts nearer to 0 and Adam moves it, only the greatest changes have an S at all, and L is measured in shares of the way
from the model (1) to the fine-tune (0), so that lambda means the same on every model: a parameter stays if it brings
more than lambda times what the parameters of the start bring on average.

The paper's L is the loss of the task, here that of denoising the pictures (``pictures``). Nearly all that a fine-tune
gains in it lies where there is little noise, and a picture gets its layout and colours where there is much. So L may
also be how far predictions for the noisy pictures p are from the fine-tune's (``fine-tune``, ours), each part of the
noise levels counting alike: L = mean over parts of |p - p_tuned|^2 / |p_base - p_tuned|^2.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..backbone import Backbone, Conditioning
from ..learn.engine.loop import LoopSettings, draw_timesteps, optimise
from ..sampling import with_rows
from ..settings import Settings, setting
from ..types import FullChange
from .sparse import SparseChange, shared_positions

START = 2.0
"""Where S starts: sigmoid(2) is 0.88, sigmoid(-2) 0.12."""
PARTS = 8
"""Parts of the noise levels that count alike."""
LEAST_PICTURES, MOST_PICTURES = 8, 64


@dataclass(frozen=True)
class CalibrationSettings(Settings):
    """How a mask is trained. Raises ``ValueError`` for values outside their range."""

    aim: Literal["sparsify", "binarise"] = setting(
        "sparsify", "sparsify: leaves out parameters that bring little. binarise: only decides between in and out."
    )
    goal: Literal["pictures", "fine-tune"] = setting(
        "pictures",
        "What must be kept. pictures: how well they are denoised. fine-tune: what it predicts for them, with all parts "
        "of the noise levels counting alike.",
    )
    penalty: float = setting(
        0.3, "How much a parameter must bring to stay, in shares of what the first choice brings on average.", least=0
    )
    wider: float = setting(2.0, "How many times the share takes part in the training.", least=1, most=100)
    steps: int = setting(200, "Training steps.", least=1, most=20000)
    rate: float = setting(0.05, "Learning rate of the mask.", above=0)
    batch: int = setting(4, "Pictures at noise levels that a step reads.", least=1, most=4096)
    levels: int = setting(4, "Noise levels that each picture is read at.", least=1, most=4096)
    side: int = setting(512, "Side of the pictures in pixels.", least=8)


PRESETS: Mapping[str, CalibrationSettings] = {
    "paper": CalibrationSettings(aim="binarise", penalty=1.0),
    "small": CalibrationSettings(steps=120, side=128),
}


@dataclass(frozen=True, eq=False)
class Examples:
    """Pictures that show a skill.

    Attributes:
        latents: (N, C, h, w).
        texts: the prompts, one row each; their lengths may differ.
        prompts: N, which prompt is of each picture.
    """

    latents: Tensor
    texts: Sequence[Conditioning]
    prompts: Sequence[int]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A trained mask.

    Attributes:
        changes: what it keeps, by weight.
        before: share of the way from the model to the fine-tune, as the goal measures it, that the first choice brings,
            at noise that training saw not.
        after: what the trained choice brings.
        counts: how many parameters the first and the trained choice have.
    """

    changes: Mapping[str, SparseChange]
    before: float
    after: float
    counts: tuple[int, int]


def calibrate(
    backbone: Backbone,
    first: Mapping[str, SparseChange],
    wider: Mapping[str, SparseChange],
    whole: Mapping[str, SparseChange],
    examples: Examples,
    settings: CalibrationSettings,
    seed: int,
    on_pass: Callable[[int], None] = lambda pictures: None,
) -> Calibrated:
    """Train which parameters of a fine-tune belong to its skill.

    Args:
        backbone: the model that the fine-tune was made from.
        first: the first choice; weights must be among the backbone's attention weights.
        wider: what may be chosen; holds the first choice.
        whole: all that the fine-tune changes in these weights.
        examples: pictures that show the skill.
        settings: how.
        seed: of noise and order.
        on_pass: called with how many pictures a model pass read.

    Raises ``ValueError`` if the fine-tune denoises the pictures no better than the model does.
    """
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(seed)
        device = examples.latents.device
        probe = _Probe(backbone, examples, settings, generator, on_pass)
        unseen = _Probe(backbone, examples, settings, generator, on_pass)
        tuned = _dense(whole, device)
        floor, gain = probe.begin(tuned)
        probe.check()
        lowest, room = unseen.begin(tuned)
        del tuned  # as large as all weights that are trained; the training makes its own
        masks = {name: _start(change, first.get(name)).to(device).requires_grad_() for name, change in wider.items()}
        kept = max(1, sum(map(len, first.values())))

        def loss_of(step: int) -> Tensor:
            soft = {name: mask.sigmoid() for name, mask in masks.items()}
            loss = probe.loss(_dense(wider, device, soft), probe.rows(step))
            # Times the count, so that gradients of single parameters stay far above Adam's epsilon on large models.
            return kept * (loss - floor) / gain + settings.penalty * _penalty(soft, settings.aim)

        # AdamW pulls no mask to 0, and a mask of millions of entries has a long gradient, of which Adam takes the sign.
        optimise(
            list(masks.values()),
            loss_of,
            LoopSettings(settings.steps, settings.rate, weight_decay=0.0, clip_norm=math.inf),
        )
        changes = {name: change.pick((masks[name] > 0).cpu()) for name, change in wider.items()}
        changes = {name: change for name, change in changes.items() if len(change)}
        reached = (unseen.whole(_dense(one, device)) for one in (first, changes))
        before, after = (1 - (one - lowest) / max(room, 1e-12) for one in reached)
    return Calibrated(changes, before, after, (sum(map(len, first.values())), sum(map(len, changes.values()))))


def passes_of(pictures: int, settings: CalibrationSettings) -> int:
    """Pictures that :func:`calibrate` reads, noise levels counted."""
    return settings.steps * min(settings.batch, pictures * settings.levels) + 6 * pictures * settings.levels


class _Probe:
    """Pictures at fixed noises and noise levels, so that losses of two masks can be compared."""

    def __init__(
        self,
        backbone: Backbone,
        examples: Examples,
        settings: CalibrationSettings,
        generator: torch.Generator,
        on_pass: Callable[[int], None],
    ) -> None:
        schedule, latents = backbone.schedule, examples.latents.repeat_interleave(settings.levels, 0)  # (P, C, h, w)
        self._backbone, self._batch, self._on_pass = backbone, settings.batch, on_pass
        self._goal, self._shares = settings.goal, torch.ones(len(latents), device=latents.device)
        self._times = draw_timesteps(schedule.steps, (0.0, 1.0), len(latents), generator, even=True).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        self._noisy = schedule.add_noise(latents, noise, self._times)
        self._target = schedule.target(latents, noise)
        self._texts = [_plain(text) for text in examples.texts]
        self._prompts = torch.tensor(examples.prompts).repeat_interleave(settings.levels)  # (P,)
        self._order = torch.randperm(len(latents), generator=generator)

    def rows(self, step: int) -> Tensor:
        """(B,) which are read at a step: all take turns."""
        return self._order[(torch.arange(min(self._batch, len(self._order))) + step * self._batch) % len(self._order)]

    def begin(self, tuned: Mapping[str, FullChange]) -> tuple[float, float]:
        """The fine-tune's loss, and how far the model's lies above it."""
        theirs, ours = self._predictions(tuned), self._predictions({})
        self._losses = floor, ceiling = tuple(float(_errors(one, self._target).mean()) for one in (theirs, ours))
        if self._goal == "pictures":
            return floor, ceiling - floor
        apart = _errors(ours, theirs)
        least = max(1e-4 * float(apart.max()), 1e-30)  # if both predict the same there is nothing to keep
        for part in self._times.argsort().chunk(PARTS):
            self._shares[part] = 1 / apart[part].mean().clamp(min=least)
        self._target = theirs
        return 0.0, float((apart * self._shares).mean())

    def check(self) -> None:
        """Raise ``ValueError`` if the fine-tune denoises the pictures no better than the model."""
        floor, ceiling = self._losses
        if ceiling - floor <= 1e-3 * ceiling:
            raise ValueError(
                f"the fine-tune denoises these pictures no better than the model (loss {floor:.4f} and {ceiling:.4f}); "
                "give pictures that show what it learnt, with prompts that ask for it"
            )

    def loss(self, changes: Mapping[str, FullChange], rows: Tensor) -> Tensor:
        """The loss of some rows with changes in force; gradients reach them."""
        self._on_pass(len(rows))
        errors = []
        with self._backbone.adapted(changes):
            for at, predicted in self._predicted(rows):
                errors.append(_errors(predicted, self._target[at]) * self._shares[at])
        return torch.cat(errors).mean()

    @torch.no_grad()
    def whole(self, changes: Mapping[str, FullChange]) -> float:
        """The loss of all rows."""
        parts = self._order.split(self._batch)
        return sum(float(self.loss(changes, rows)) * len(rows) for rows in parts) / len(self._order)

    @torch.no_grad()
    def _predictions(self, changes: Mapping[str, FullChange]) -> Tensor:
        """(P, C, h, w) of all rows."""
        found = torch.zeros_like(self._target)
        with self._backbone.adapted(changes):
            for rows in self._order.split(self._batch):
                self._on_pass(len(rows))
                for at, predicted in self._predicted(rows):
                    found[at] = predicted
        return found

    def _predicted(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows of one prompt each (b,), and what the model predicts for them (b, C, h, w)."""
        for prompt in self._prompts[rows].unique().tolist():
            at = rows[self._prompts[rows] == prompt].to(self._noisy.device)
            text = with_rows(self._texts[prompt], len(at))
            yield at, self._backbone.predict_target(self._noisy[at], self._times[at], text).float()


def _errors(predicted: Tensor, target: Tensor) -> Tensor:
    """(P,) mean squared error of each row."""
    return (predicted - target).square().flatten(1).mean(1)


def _start(change: SparseChange, first: SparseChange | None) -> Tensor:
    """(n,) S at the positions of a change: above 0 where the first choice has them."""
    inside = torch.zeros(len(change), dtype=torch.bool) if first is None else shared_positions(change, first)[0]
    return torch.where(inside, START, -START)


def _penalty(soft: Mapping[str, Tensor], aim: str) -> Tensor:
    """The sum of masks (n,) in 0..1, or how far they are from either end, 1 for each in the middle."""
    if aim == "sparsify":
        return torch.stack([mask.sum() for mask in soft.values()]).sum()
    return torch.stack([(4 * mask * (1 - mask)).sum() for mask in soft.values()]).sum()


def _dense(
    changes: Mapping[str, SparseChange], device: torch.device, soft: Mapping[str, Tensor] | None = None
) -> dict[str, FullChange]:
    """Changes (d_out, d_in) by weight, each value times its mask if masks are given; gradients reach these."""
    found = {}
    for name, change in changes.items():
        values = change.values.to(device, torch.float32).clone()  # nodes run in inference mode, which made them
        values = values if soft is None else values * soft[name]
        flat = torch.zeros(change.size[0] * change.size[1], device=device)
        found[name] = FullChange(flat.index_put((change.index.to(device).clone().long(),), values).view(change.size))
    return found


def _plain(text: Conditioning) -> Conditioning:
    """A conditioning as tensors that autograd may save."""
    extras = {name: one.detach().clone() for name, one in text.extras.items()}
    return replace(text, context=text.context.detach().clone(), extras=extras)
