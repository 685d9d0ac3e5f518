"""The lab's image tower as a CLIP_VISION, in ComfyUI and without it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .image_tower import GRIDS, ImageTower, load_image_tower, load_text_projection, small_pictures
from .weights import WEIGHTS

FAMILY = "lab"
ALL = "all"
"""The site of every grid of the tower, brought to the finest."""
DIRECTED = 8
"""Cells a side at which directions are looked for; on development scenes the strongest of them lay on the object more
often than at 16."""


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


@dataclass(frozen=True, eq=False)
class LabVision:
    """What a CLIP_VISION socket carries for the lab model: half a million weights, computed on the CPU.

    Attributes:
        tower: pictures to vectors.
        text_projection: (192, 192) by which pooled texts of the lab's CLIP come to the same space.
    """

    tower: ImageTower
    text_projection: Tensor | None = None
    concept_atelier_family = FAMILY
    finest_site = str(max(GRIDS))
    """The name of the site with the most positions."""
    activation_sites = (*(str(cells) for cells in GRIDS), ALL)
    """Names of what :meth:`record_activations` reads: cells a side of the grid, or all of them on the finest."""

    @torch.no_grad()
    def record_activations(self, image: Tensor, site: str) -> Tensor:
        """What the tower computes of an IMAGE, squeezed to its square, on a grid: (B, D, cells, cells)."""
        small = small_pictures(image[..., :3].movedim(-1, 1).float().cpu())
        if site != ALL:
            return self.tower.read(small, int(site))
        finest = max(GRIDS)
        read = [self.tower.read(small, cells) for cells in GRIDS]
        return torch.cat([interpolate(one, (finest, finest), mode="bilinear") for one in read], 1)

    def activation_features(self, states: Tensor, site: str) -> Tensor:
        """What the tower makes of states (B, D, cells, cells) at a site, as :meth:`record_activations` gives them:
        features (B, 192) at unit length; gradients pass."""
        return self.tower.finish(states, int(site))

    def direction_maps(self, image: Tensor, directions: Tensor) -> Tensor:
        """What each position of the grid of 8 cells adds to how near pictures are to directions (K, 192), gradient
        times input: (B, K, 8, 8)."""
        with torch.inference_mode(False), torch.enable_grad():
            small = small_pictures(image[..., :3].movedim(-1, 1).float().cpu()).clone()
            states = self.tower.read(small, DIRECTED).detach().requires_grad_(True)
            near = self.tower.finish(states, DIRECTED) @ directions.float().clone().T  # (B, K)
            slopes = [torch.autograd.grad(column.sum(), states, retain_graph=True)[0] for column in near.T]
            return torch.stack([(slope * states.detach()).sum(1) for slope in slopes], 1)

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
    with torch.inference_mode(False):  # gradients pass weights that are loaded by a node
        return LabVision(load_image_tower(folder), load_text_projection(folder))
