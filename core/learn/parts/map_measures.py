"""How attention maps of a few cells are compared: the measures of the methods that learn from several objects at once.

All take maps (..., h, w), are differentiable, and say nothing of where maps come from.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_FLOOR = 1e-16


def blurred(maps: Tensor, sigma: float = 0.5) -> Tensor:
    """A 3x3 blur with reflected borders, weights ``exp(-(d / (2 sigma))^2)`` per axis, summing to 1.

    DisenDiff (arXiv 2403.18551), as its release computes it: the bell is wider than a Gaussian of that sigma.
    """
    side = torch.exp(torch.tensor(-((1 / (2 * sigma)) ** 2)))
    line = torch.stack([side, torch.ones_like(side), side])  # (3,)
    kernel = (line[:, None] * line / line.sum() ** 2).to(maps)  # (3, 3)
    flat = maps.reshape(-1, 1, *maps.shape[-2:])  # (M, 1, h, w)
    mode = "reflect" if min(maps.shape[-2:]) > 1 else "replicate"  # one row has nothing to reflect
    return F.conv2d(F.pad(flat, (1, 1, 1, 1), mode=mode), kernel[None, None]).reshape(maps.shape)


def soft_iou(a: Tensor, b: Tensor, smooth: float = 1.0) -> Tensor:
    """Intersection over union of soft masks in 0..1: ``(sum ab + s) / (sum a + sum b - sum ab + s)``, (...).

    DisenDiff (arXiv 2403.18551); 1 for equal hard masks, of hard masks otherwise the usual one but for ``smooth``.
    """
    both = (a * b).sum((-2, -1))  # (...)
    return (both + smooth) / (a.sum((-2, -1)) + b.sum((-2, -1)) - both + smooth)


def pixel_softmax(maps: Tensor, temperature: float = 1.0) -> Tensor:
    """Each map as a distribution over its cells; a low temperature makes it follow the map's peaks."""
    return (maps.flatten(-2) / temperature).softmax(-1).view(maps.shape)  # (..., h*w) to (..., h, w)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of distributions over cells, (...), in 0..ln 2: ``H(m) - (H(p) + H(q)) / 2``.

    AttenCraft (arXiv 2405.17965), L_attn; m is the mean of both, H the entropy.
    """
    middle = (p + q) / 2
    return _entropy(middle) - (_entropy(p) + _entropy(q)) / 2


def outside_share(maps: Tensor, masks: Tensor) -> Tensor:
    """The share of each map's mass that lies outside its mask, (...), in 0..1."""
    return 1 - inside_share(maps, masks)


def inside_share(maps: Tensor, masks: Tensor) -> Tensor:
    """The share of each map's mass that lies inside a mask, (...), in 0..1."""
    total = maps.sum((-2, -1)).clamp_min(torch.finfo(maps.dtype).tiny)  # (...)
    return (maps * masks).sum((-2, -1)) / total


def structural_similarity(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """SSIM of maps in 0..1, (...), 1 for equal ones (Wang et al., IEEE TIP 2004, equation 13, even windows).

    Means over all windows that lie inside; on smaller maps the window is the largest odd one that fits.
    """
    side = min(window, *a.shape[-2:])
    side -= 1 - side % 2
    one, other = (maps.reshape(-1, 1, *maps.shape[-2:]).float() for maps in (a, b))  # (M, 1, h, w)

    def mean(maps: Tensor) -> Tensor:
        return F.avg_pool2d(maps, side, stride=1)

    mean_a, mean_b = mean(one), mean(other)  # (M, 1, h - side + 1, w - side + 1)
    spread_a, spread_b = mean(one**2) - mean_a**2, mean(other**2) - mean_b**2
    together = mean(one * other) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    form = (2 * together + 0.03**2) / (spread_a + spread_b + 0.03**2)
    return (light * form).mean((-3, -2, -1)).view(a.shape[:-2])  # (M, 1, h', w') to (...)


def _entropy(distribution: Tensor) -> Tensor:
    return -(distribution * (distribution + _FLOOR).log()).sum((-2, -1))
