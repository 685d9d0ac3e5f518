"""Prior preservation: pictures that the model itself draws, and should still draw after it was tuned.

Ruiz et al., "DreamBooth", CVPR 2023, arXiv 2208.12242, section 3.3. The papers encode drawn pictures again; here the
sampler's own latents are kept, which spares the autoencoder's loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...backbone import Backbone
from ...sampling import draw_each

BATCH = 4


@dataclass(frozen=True, eq=False)
class Prior:
    """What the model drew before it was tuned.

    Attributes:
        latents: (M, C, h, w) scaled latents.
        texts: M, what each was drawn from.
    """

    latents: Tensor
    texts: tuple[str, ...]

    def pick(self, generator: torch.Generator) -> tuple[Tensor, str]:
        """One of them at random: (1, C, h, w) and its text."""
        index = int(torch.randint(len(self.texts), (1,), generator=generator))
        return self.latents[index : index + 1], self.texts[index]


@torch.no_grad()
def draw_prior(
    backbone: Backbone,
    texts: Sequence[str],
    count: int,
    like: Tensor,
    *,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
) -> Prior:
    """Draw pictures with the model as it is (DDIM); picture i has seed ``seed + i``, whatever their number.

    Args:
        backbone: the model.
        texts: drawn from in turn, at least one.
        count: how many pictures, at least one.
        like: a latent (1, C, h, w) of the size wanted.
        steps, guidance: see :func:`~...sampling.ddim`.
        seed: of the first picture.

    Raises ``ValueError`` for no texts or no pictures.
    """
    if not texts or count < 1:
        raise ValueError(f"prior pictures need a text and a number of at least 1, got {list(texts)} and {count}")
    prompts = [texts[index % len(texts)] for index in range(count)]
    size = (like.shape[-2], like.shape[-1])
    drawn = []
    for first in range(0, count, BATCH):
        batch = prompts[first : first + BATCH]
        seeds = [(seed + first + index) % 2**64 for index in range(len(batch))]
        drawn.append(draw_each(backbone, batch, size, steps=steps, guidance=guidance, seed=seeds))
    return Prior(torch.cat(drawn).float().clone(), tuple(prompts))  # (M, C, h, w)
