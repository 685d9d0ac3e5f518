"""How alike pictures are, by the features of any picture encoder.

The scores of ConceptExpress (Hao et al. 2024, arXiv 2407.07077, section 4.1): identity similarity SIM^I and
compositional similarity SIM^C are cosines of features of drawn pictures and of the picture that tokens were learnt
from.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def unit(features: Tensor) -> Tensor:
    """Features (..., D) at unit length, float32.

    Raises:
        ValueError: for features that are not finite, and for one of length 0, which points nowhere.
    """
    features = features.float()
    if not bool(torch.isfinite(features).all()):
        raise ValueError("the features have values that are not finite; check the pictures, and the picture encoder")
    if features.numel() and float(features.norm(dim=-1).min()) == 0.0:
        raise ValueError("a picture's features are all zero, so that it is like no other; use another picture encoder")
    return normalize(features, dim=-1)


def similarity(drawn: Tensor, candidates: Tensor) -> Tensor:
    """Cosine of every drawn picture and every candidate.

    Args:
        drawn: (N, K, D) features of K pictures of each of N concepts, at any length.
        candidates: (M, D) features.

    Returns:
        (N, K, M) in -1..1. At a concept's own column, the mean over K is its SIM^I.

    Raises:
        ValueError: for features of other shapes or of different encoders (D).
    """
    _check(drawn, candidates, 3)
    return unit(drawn) @ unit(candidates).T  # (N, K, D) @ (D, M) to (N, K, M)


def compositional_similarity(joint: Tensor, picture: Tensor) -> Tensor:
    """SIM^C of each picture in which all concepts were drawn together.

    Args:
        joint: (J, D) features of such pictures.
        picture: (1, D) features of the whole source picture.

    Returns:
        (J,) in -1..1; their mean is the picture's SIM^C.

    Raises:
        ValueError: as :func:`similarity` does, and for other than one source picture.
    """
    _check(joint, picture, 2)
    if len(picture) != 1:
        raise ValueError(f"SIM^C compares with one source picture, got {len(picture)}")
    return (unit(joint) @ unit(picture).T)[:, 0]  # (J, D) @ (D, 1) to (J,)


def _check(drawn: Tensor, candidates: Tensor, dimensions: int) -> None:
    if drawn.ndim != dimensions or candidates.ndim != 2 or 0 in drawn.shape or 0 in candidates.shape:
        wanted = "(N, K, D)" if dimensions == 3 else "(J, D)"
        raise ValueError(
            f"features of drawn pictures must be {wanted} and of those compared with (M, D), none of them empty; got "
            f"{tuple(drawn.shape)} and {tuple(candidates.shape)}"
        )
    if drawn.shape[-1] != candidates.shape[-1]:
        raise ValueError(
            f"features of {drawn.shape[-1]} and of {candidates.shape[-1]} numbers cannot be compared: take both from "
            "the same picture encoder"
        )
