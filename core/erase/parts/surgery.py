"""Gradient surgery: erase without going against what is to be kept.

Wu et al., "Unlearning Concepts in Diffusion Model via Concept Domain Correction and Concept Preserving Gradient", AAAI
2025, arXiv 2405.15304 (DoCo), the concept preserving gradient.

Of each parameter, with the gradient a of the erasing loss and the gradient b of the keeping loss,

    a <- a - share * min(<a, b^>, 0) b^ ,    b^ = b / ||b|| ,

so that at share 1 no step raises the keeping loss to first order. The paper's release takes the coefficient from the
normalised a, which is this projection for gradients of length 1 alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def corrected(erase: Sequence[Tensor], keep: Sequence[Tensor], share: float) -> list[Tensor]:
    """The gradients of the erasing loss, without a share of what goes against the keeping loss, tensor by tensor."""
    found: list[Tensor] = []
    for a, b in zip(erase, keep, strict=True):
        direction = b / b.norm().clamp(min=1e-12)
        found.append(a - share * (a * direction).sum().clamp(max=0.0) * direction)
    return found


def joined_loss(erase: Tensor, keep: Tensor, weight: float, parameters: Sequence[Tensor], share: float) -> Tensor:
    """A loss whose value is ``erase + weight * keep``. Its gradient is that of the sum at a share of 0; above, that of
    ``erase`` after the surgery, and the keeping loss lends its direction alone, as in the paper."""
    total = erase + weight * keep
    if share == 0 or not keep.requires_grad:
        return total
    # Some parameters may not be used: a last block's, which change the text's rows alone.
    a = torch.autograd.grad(erase, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    b = torch.autograd.grad(keep, parameters, allow_unused=True, materialize_grads=True)
    # A sum whose gradient is what was worked out.
    steered = torch.stack([(g * p).sum() for g, p in zip(corrected(a, b, share), parameters, strict=True)]).sum()
    return steered + (total - steered).detach()
