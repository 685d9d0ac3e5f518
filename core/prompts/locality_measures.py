"""What a dial of locality does: entropy of the attention to a word, and its pointer fidelity (after AILA, arXiv
2511.03559): ``H = -sum_j a_j log2 a_j`` and ``sum_{j in target} a_j``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..attention.resize import mask_on
from ..backbone import AttentionInputs, Backbone
from ..compose.composer import share_of
from ..compose.composition import Composition
from .locality import TINY, LocalitySettings, Word, begin, words_with_dials


def entropy(maps: Tensor) -> Tensor:
    """H in bits (...) of maps (..., N) of any scale, 0 or more."""
    shares = maps / maps.sum(-1, keepdim=True).clamp_min(TINY)
    return -(shares * shares.clamp_min(TINY).log2()).sum(-1)


def pointer_fidelity(maps: Tensor, target: Tensor) -> Tensor:
    """The share (...) of maps (..., N) that lies in a target (N,) in 0..1."""
    return (maps * target).sum(-1) / maps.sum(-1).clamp_min(TINY)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the dial does to each of W words, mean over layers and noise levels.

    Attributes:
        before: (W,) bits of entropy.
        after: (W,) the same with the dials.
        even: bits of attention that is the same everywhere.
        fidelity: (W, 2) shares inside the words' masks, without and with the dials; NaN for words without.
    """

    before: Tensor
    after: Tensor
    even: float
    fidelity: Tensor


@torch.no_grad()
def measure(
    backbone: Backbone,
    latent: Tensor,
    composition: Composition,
    settings: LocalitySettings,
    levels: int = 3,
    seed: int = 0,
) -> Measured:
    """Read a picture's latent (1, C, h, w) with noise of several levels. The dials are in force at each of them,
    whatever part of denoising they are set to act in.

    Raises ``ValueError`` for no levels.
    """
    if levels < 1:
        raise ValueError(f"levels must be 1 or more, got {levels}")
    words = words_with_dials(composition, settings.dials)
    generator, schedule = torch.Generator().manual_seed(seed), backbone.schedule
    bits: list[Tensor] = []
    inside: list[Tensor] = []
    evens: list[float] = []

    def seen(inputs: AttentionInputs, before: Tensor, after: Tensor) -> None:
        maps = torch.stack([_maps(words, one) for one in (before, after)])  # (2, W, N)
        bits.append(entropy(maps))
        nothing = torch.full_like(maps[0, 0], float("nan"))
        targets = [nothing if w.mask is None else mask_on(w.mask, inputs.call.grid).flatten().to(maps) for w in words]
        inside.append(torch.stack([pointer_fidelity(maps[:, at], target) for at, target in enumerate(targets)], 1))
        evens.append(float(torch.tensor(float(maps.shape[-1])).log2()))

    always = replace(settings, start=0.0, end=1.0)
    edit = begin(composition, always, share_of(schedule.steps), seen).edit
    with backbone.edit_attention(edit):
        for share in torch.linspace(0.2, 0.8, levels).tolist():
            time = torch.tensor([round(share * (schedule.steps - 1))], device=latent.device)
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            backbone.predict_noise(schedule.add_noise(latent, noise, time), time, composition.conditioning)
    mean, held = torch.stack(bits).mean(0).cpu(), torch.stack(inside).mean(0).cpu()  # (2, W) each
    return Measured(mean[0], mean[1], sum(evens) / max(len(evens), 1), held.T)


def _maps(words: Sequence[Word], attention: Tensor) -> Tensor:
    """(W, N) head means of the words' attention."""
    mean = attention.mean((0, 1))  # (N, L)
    return torch.stack([mean[:, list(word.places)].sum(-1) for word in words])
