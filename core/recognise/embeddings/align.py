"""Texts and pictures brought to common axes by canonical correlation, with shrinkage (after SCoCCA, 2026).

With covariances S_xx, S_yy of pictures and texts, and S_xy between them,

    S_xx^-1/2 S_xy S_yy^-1/2 = U R V^T,   A = S_xx^-1/2 U,   B = S_yy^-1/2 V

A picture's place is z = A^T (x - mean), and what a text foretells of it R B^T (y - mean). A change d of the place is a
change S_xx A d of the picture, which moves z by exactly d and nothing beside it. Covariances are shrunk towards a
multiple of the identity, since folders have fewer pictures than encoders have numbers. The two encoders need not have
been trained together.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import Settings, setting

FEWEST = 8


@dataclass(frozen=True)
class AlignSettings(Settings):
    """Settings of :func:`align`; each field's help is in its metadata."""

    shrinkage: float = setting(0.1, "How far covariances are drawn to the identity.", above=0, most=0.9)
    axes: int = setting(64, "Common axes that are kept, the most correlated ones.", least=1)


@dataclass(frozen=True, eq=False)
class Axes:
    """Common axes of pictures and texts.

    Attributes:
        picture_mean: (D,). text_mean: (E,).
        picture_axes: (D, m) the A of the module's text. text_axes: (E, m) its B.
        lift: (D, m) what a change of the place changes of a picture, S_xx A.
        correlations: (m,) in 0..1, falling.
    """

    picture_mean: Tensor
    text_mean: Tensor
    picture_axes: Tensor
    text_axes: Tensor
    lift: Tensor
    correlations: Tensor

    def of_pictures(self, vectors: Tensor) -> Tensor:
        """(P, m) places of pictures (P, D)."""
        return (vectors - self.picture_mean) @ self.picture_axes

    def of_texts(self, vectors: Tensor) -> Tensor:
        """(P, m) what texts (P, E) foretell of the places of their pictures."""
        return (vectors - self.text_mean) @ self.text_axes * self.correlations


def align(pictures: Tensor, texts: Tensor, settings: AlignSettings | None = None) -> Axes:
    """Common axes of n pictures (n, D) and their texts (n, E).

    Raises ``ValueError`` for other numbers of pictures and texts, fewer than eight of them, and where all pictures or
    all texts are the same.
    """
    settings = settings or AlignSettings()
    if len(pictures) != len(texts) or len(pictures) < FEWEST:
        raise ValueError(
            f"pictures and texts are aligned by at least {FEWEST} pairs, got {len(pictures)} pictures and {len(texts)} "
            "texts"
        )
    first, second = pictures.double(), texts.double()
    middle = (first.mean(0), second.mean(0))
    first, second = first - middle[0], second - middle[1]
    if float(first.abs().max()) == 0 or float(second.abs().max()) == 0:
        raise ValueError("all pictures, or all texts, are the same, so that nothing says what belongs together")
    inner = _shrunk(first, settings.shrinkage)  # (D, D)
    white, other = _inverse_root(inner), _inverse_root(_shrunk(second, settings.shrinkage))
    across = (1 - settings.shrinkage) * first.T @ second / len(first)  # (D, E), shrunk alike: nothing exceeds 1
    left, values, right = torch.linalg.svd(white @ across @ other, full_matrices=False)
    most = min(settings.axes, len(first) - 1, len(values))
    axes = white @ left[:, :most]
    found = (*middle, axes, other @ right.T[:, :most], inner @ axes, values[:most].clamp(max=1))
    return Axes(*(one.float() for one in found))


def _shrunk(rows: Tensor, share: float) -> Tensor:
    """The covariance (D, D) of centred rows (n, D), drawn to the identity at its mean variance."""
    spread = rows.T @ rows / len(rows)
    even = spread.diagonal().mean() * torch.eye(len(spread), dtype=spread.dtype)
    return (1 - share) * spread + share * even


def _inverse_root(spread: Tensor) -> Tensor:
    """The inverse square root of a positive matrix (D, D)."""
    values, vectors = torch.linalg.eigh(spread)
    return vectors * values.clamp(min=1e-12 * float(values[-1])).rsqrt() @ vectors.T
