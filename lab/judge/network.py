"""A small convolutional network that names what every patch of 8x8 pixels belongs to."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Conv2d, GroupNorm

from ..model.vae import ResidualBlock

CELL = 8
"""Pixels a side of the patches that get a label."""


@dataclass(frozen=True, eq=False)
class Logits:
    """What the network says of every cell: ``objects`` (B, K + 1, h, w), the last for nothing known; ``styles``
    (B, S, h, w); ``colours`` (B, C + 1, h, w), the first for the icon's own; ``features`` (B, D, h, w)."""

    objects: Tensor
    styles: Tensor
    colours: Tensor
    features: Tensor


class JudgeNet(nn.Module):
    """Pictures (B, 3, H, W) in -1..1, sides multiples of 16, to labels on cells of 8 pixels.

    Args:
        objects: number K of kinds of object.
        styles: number of styles.
        colours: number of tints.
        widths: channels at a quarter, an eighth and a sixteenth of the side.
    """

    def __init__(self, objects: int, styles: int, colours: int, widths: tuple[int, int, int] = (32, 64, 128)) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.splits = (objects + 1, styles, colours + 1)
        self.near = nn.Sequential(
            nn.PixelUnshuffle(4),
            Conv2d(48, fine, 3, padding=1),
            ResidualBlock(fine),
            Conv2d(fine, middle, 3, stride=2, padding=1),
            ResidualBlock(middle),
        )
        self.far = nn.Sequential(
            Conv2d(middle, coarse, 3, stride=2, padding=1),
            *[ResidualBlock(coarse) for _ in range(3)],
            Conv2d(coarse, 4 * middle, 1),
            nn.PixelShuffle(2),
        )
        self.join = nn.Sequential(ResidualBlock(middle), GroupNorm(8, middle), nn.SiLU())
        self.heads = Conv2d(middle, sum(self.splits), 1)

    def forward(self, picture: Tensor) -> Logits:
        near = self.near(picture)
        features = self.join(near + self.far(near))  # (B, D, H / 8, W / 8)
        kinds, styles, colours = torch.split(self.heads(features), list(self.splits), dim=1)  # (B, K + 1, h, w), ...
        return Logits(kinds, styles, colours, features)
