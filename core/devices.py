"""Where tensors can be computed with at full precision."""

import torch


def exact_device(device: torch.device) -> torch.device:
    """The device itself, or the CPU in place of one that has no float64 (Apple's MPS)."""
    return torch.device("cpu") if device.type == "mps" else device
