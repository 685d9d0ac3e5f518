"""What a picture must be before a model sees it."""

import torch
from torch import Tensor


def check_picture(image: Tensor) -> None:
    """Raise ``ValueError`` unless the picture is one (1, 3, H, W) of finite values."""
    if image.ndim != 4 or image.shape[:2] != (1, 3):
        raise ValueError(f"expected one RGB picture (1, 3, H, W), got {tuple(image.shape)}; pass a batch one by one")
    broken = int((~torch.isfinite(image)).sum())
    if broken:
        raise ValueError(f"the picture holds {broken} NaN or infinite values; check the node that made it")
