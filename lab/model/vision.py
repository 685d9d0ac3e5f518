"""The lab's image tower as a CLIP_VISION, in ComfyUI and without it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .image_tower import ImageTower, load_image_tower, small_pictures
from .weights import WEIGHTS

FAMILY = "lab"


@dataclass(frozen=True, eq=False)
class VisionOutput:
    """What :meth:`LabVision.encode_image` gives.

    Attributes:
        image_embeds: (B, 192) float32, unit length.
    """

    image_embeds: Tensor

    def __getitem__(self, key: str) -> Tensor:
        """ComfyUI's outputs are read by key as well. Raises ``AttributeError`` for what this tower does not give."""
        return getattr(self, key)


@dataclass(frozen=True)
class LabVision:
    """What a CLIP_VISION socket carries for the lab model: half a million weights, computed on the CPU.

    Attributes:
        tower: pictures to vectors.
    """

    tower: ImageTower
    concept_atelier_family = FAMILY

    @torch.no_grad()
    def encode_image(self, image: Tensor, crop: bool = True) -> VisionOutput:
        """Features of an IMAGE (B, H, W, 3 or more) in 0..1; ``crop`` takes the middle square, else it is squeezed."""
        pictures = image[..., :3].movedim(-1, 1).float().cpu()
        if crop:
            side = min(pictures.shape[-2:])
            top, left = ((length - side) // 2 for length in pictures.shape[-2:])
            pictures = pictures[..., top : top + side, left : left + side]
        return VisionOutput(self.tower(small_pictures(pictures)))


def load_vision(folder: Path = WEIGHTS) -> LabVision:
    """The tower that ships. Raises ``FileNotFoundError`` as :func:`load_image_tower` does."""
    return LabVision(load_image_tower(folder))
