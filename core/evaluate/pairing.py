"""Whether a picture encoder and a text encoder share a space, by what both say of things that everyone knows.

Equal widths say nothing: 768 and 1024 recur. Encoders that were trained together put the text "a red picture" nearest
to red pictures; in spaces that have nothing to do with each other, which text fits which picture is chance. So the
similarities of the right pairs are compared with those of texts in random order.
"""

import torch
from torch import Tensor

from .similarity import unit

DRAWS = 2000


def pairing_chance(pictures: Tensor, texts: Tensor, seed: int = 0) -> float:
    """How often texts in random order fit pictures as well as in their own order, in 0..1; small where the encoders
    belong together, anything where they do not.

    What a picture, or a text, has in common with all of the others' kind is taken out first (rows and columns of the
    similarities at mean 0).

    Args:
        pictures: (n, D) features. texts: (n, D) features of what stands in each picture.

    Raises ``ValueError`` for fewer than four pairs, or unlike shapes.
    """
    if pictures.shape != texts.shape or len(pictures) < 4:
        raise ValueError(
            f"at least four pictures and as many texts of one width are needed, got {tuple(pictures.shape)} and "
            f"{tuple(texts.shape)}"
        )
    similar = unit(pictures.double()) @ unit(texts.double()).T  # (n, n)
    similar = similar - similar.mean(0) - similar.mean(1, keepdim=True) + similar.mean()
    count, generator = len(similar), torch.Generator().manual_seed(seed)
    orders = torch.stack([torch.randperm(count, generator=generator) for _ in range(DRAWS)])  # (draws, n)
    drawn = similar[torch.arange(count), orders].sum(1)
    return float((1 + (drawn >= similar.trace() - 1e-12).sum()) / (1 + DRAWS))
