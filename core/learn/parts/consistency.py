"""Adaptive weights of pictures while a training runs (AdaWAC, Dong et al., ICML 2023, arXiv 2210.01891).

    min_theta max_beta  mean_i [ beta_i0 l_label,i + beta_i1 l_consistency,i ] ,   beta_i0 + beta_i1 = 1

The paper's consistency compares two augmentations of a picture. For tokens of a diffusion model the form is ours: what
is predicted for one noisy picture by two sentences that say the same of the token should be the same; ``l_consistency =
2 mean |e_one - e_other|^2``, with the paper's factor. A sentence is not compared with the token alone: a model predicts
something else for a word that stands alone, and the token would become weak to make both predictions equal. The
labelled loss is the method's own; its pictures are drawn as often as ``beta_i0`` says. Both losses that the ascent
compares are taken from the same pass, so that they are of one noise level.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...sample_weights import GREATEST, RunningScale, ascend
from .draws import Draws
from .prompts import encode_in_groups, placeholder
from .token_pass import SENTENCE, TokenReader

OTHER_SENTENCE = "a picture of {}"
"""What stands beside :data:`.token_pass.SENTENCE`."""
CONSISTENCY = 2.0
"""Weight of consistency beside the labelled loss, before both are weighted (the paper's)."""
LEVELS = 4
"""Parts of the timesteps within which losses are compared."""
FIRST, SEEN = "adaptive.weights", "adaptive.seen"
"""Names of what is kept of a training that was cancelled."""


class AdaptiveWeights:
    """The term of consistency, and the weights of K pictures, which move with every update.

    Attributes:
        labelled: (K,) beta_i0, a half at first.
        trust: (K,) what labels are multiplied by, 0..1; consistency has the rest.
    """

    def __init__(self, reader: TokenReader, masks: Sequence[Tensor], draws: Draws, rate: float) -> None:
        """Take over how pictures are drawn.

        Args:
            reader: of the tokens; those of a method that learns several for each concept take the masks in turn.
            masks: of each picture (N, h, w) in 0..1, on the latent's grid.
            draws: of the training; its weights, if any, are the trust in the labels.
            rate: of the ascent in one update.
        """
        self.reader, self.masks, self.draws, self.rate = reader, masks, draws, rate
        count = len(reader.latents)
        given = draws.weights if draws.weights is not None else torch.ones(count, dtype=torch.float64)
        self.trust = given / given.max().clamp_min(1.0)
        self.labelled = torch.full((count,), 0.5, dtype=torch.float64)
        self.scales = RunningScale(LEVELS), RunningScale(LEVELS)
        self._draw_so()

    @property
    def weights(self) -> Tensor:
        """(K,) of the labels: beta_i0 times the trust in them."""
        return self.labelled * self.trust

    def term(self) -> Tensor:
        """The loss of one update, of one picture and one token, both drawn; two passes, with gradients."""
        reader, generator = self.reader, self.reader.generator
        picture = int(torch.randint(len(reader.latents), (1,), generator=generator))
        known = reader.tokens()
        number = int(torch.randint(len(known), (1,), generator=generator))
        latent, time = reader.latents[picture], reader.draw_time().to(reader.latents[picture].device)
        noise = torch.randn(latent.shape, generator=generator).to(latent)
        schedule = reader.backbone.schedule
        said, otherwise = self._predicted(list(known)[number], schedule.add_noise(latent, noise, time), time)
        error, differs = (schedule.target(latent, noise) - said).square(), (said - otherwise).square().mean()
        mask = self.masks[picture][number % len(self.masks[picture])].to(error)  # (h, w)
        weights = self.weights
        share = float((1 - weights[picture]) / weights.mean())
        self._move(picture, float((error.detach() * mask).mean()), float(differs.detach()), int(time))
        return CONSISTENCY * share * differs

    def _predicted(self, name: str, noisy: Tensor, time: Tensor) -> list[Tensor]:
        """What the model predicts (1, C, h, w) float32 by each of the two sentences."""
        word, reader = placeholder(name), self.reader
        placeholders = {word: reader.tokens()[name]}
        rows: dict[int, Tensor] = {}
        for members, text in encode_in_groups(
            reader.backbone, [SENTENCE.format(word), OTHER_SENTENCE.format(word)], placeholders
        ):
            many = len(members)
            with reader.in_force():
                found = reader.backbone.predict_target(noisy.expand(many, -1, -1, -1), time.expand(many), text)
            rows |= dict(zip(members, found.float().split(1), strict=True))
        return [rows[0], rows[1]]

    def _move(self, picture: int, labelled: float, differs: float, time: int) -> None:
        level = min(time * LEVELS // self.reader.backbone.schedule.steps, LEVELS - 1)
        label, consistency = (
            torch.tensor(scale.standardised(value, level), dtype=torch.float64)
            for scale, value in zip(self.scales, (labelled, differs), strict=True)
        )
        moved = ascend(self.labelled[picture], label, consistency, self.rate)
        self.labelled[picture] = moved.clamp(max=GREATEST)
        self._draw_so()

    def _draw_so(self) -> None:
        self.draws.weights = self.weights

    def hidden(self) -> dict[str, Tensor]:
        """What :meth:`restore` needs."""
        return {FIRST: self.labelled.clone(), SEEN: torch.stack([scale.seen for scale in self.scales])}

    def check(self, hidden: Mapping[str, Tensor]) -> None:
        """Raise ``ValueError`` for a state that no training left."""
        if bool(((hidden[FIRST] < 0) | (hidden[FIRST] > 1)).any()):
            raise ValueError("its weights of pictures do not lie in 0..1")
        if bool((hidden[SEEN][..., ::2] < 0).any()):
            raise ValueError("it counts fewer than no losses")

    def restore(self, hidden: Mapping[str, Tensor]) -> None:
        """Go on from a state that :meth:`check` let pass."""
        self.labelled = hidden[FIRST].clone()
        for scale, seen in zip(self.scales, hidden[SEEN], strict=True):
            scale.seen = seen.clone()
        self._draw_so()
