"""Pictures divided among words, by how well each word fits each position."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from ...explain.activations import Activations
from ...masks.upsample import to_pixels

LEAST, WARMTH, STEPS = 0.5, 0.2, 2
"""Share of a picture's strongest fit from which a pixel belongs to a word; the temperature and the steps of
:func:`spread_over`. Chosen on development scenes."""


def directions_of(words: Tensor, others: Tensor) -> Tensor:
    """(V, D) what words (V, D) have beyond words in general (N, D): positions are compared with these, so that 0 is a
    position which fits the word as well as any."""
    return words - torch.cat([words, others]).mean(0)


def spread_over(maps: Tensor, activations: Activations, warmth: float = WARMTH, steps: int = STEPS) -> Tensor:
    """Maps that positions share with what is like them: a random walk over the positions of each picture, which goes on
    to positions by the softmax of the cosines of their centred activations over ``warmth``.

    Args:
        maps: (P, V, h, w) on any grid; what is below 0 counts as 0.
        activations: of the P pictures.

    Returns:
        (P, V, h', w') on the grid of the activations.
    """
    rows = normalize(activations.rows - activations.rows.mean(1, keepdim=True), dim=-1)
    ways = (rows @ rows.mT / warmth).softmax(-1)  # (P, N, N), N = h' * w'
    fits = interpolate(maps, activations.grid, mode="bilinear").clamp(min=0).flatten(2)  # (P, V, N)
    for _ in range(steps):
        fits = fits @ ways.mT
    return fits.unflatten(-1, activations.grid)


def word_shares(maps: Tensor, present: Tensor, size: tuple[int, int]) -> Tensor:
    """How well words fit every pixel, as a share of the strongest fit in the picture.

    Args:
        maps: (P, V, h, w) how well each of V words fits each position, above 0 where it fits better than words in
            general.
        present: (P, V) bool, the words that a picture may be divided among.
        size: (H, W) of the pictures.

    Returns:
        (V, P, H, W) in 0..1; 0 for words that are not present.
    """
    fits = maps.clamp(min=0) * present[:, :, None, None]  # (P, V, h, w)
    shares = fits / fits.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
    found = to_pixels(shares.flatten(0, 1), size, "bilinear").unflatten(0, shares.shape[:2])
    return found.transpose(0, 1)
