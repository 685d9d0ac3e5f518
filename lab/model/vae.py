"""The lab's autoencoder: 4 latent channels at an eighth of the side, on a pixel-unshuffle stem that CPUs can train."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import Conv2d, GroupNorm

SCALING_FACTOR = 0.18215  # of SD1.5: latents times this have unit variance, because training folds the scale in
DOWNSCALE = 8
LATENT_CHANNELS = 4


class ResidualBlock(nn.Module):
    """Two normalised 3x3 convolutions beside the identity."""

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, channels)
        self.conv1 = Conv2d(channels, channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, channels)
        self.conv2 = Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class LabVAE(nn.Module):
    """Encode pictures (B, 3, H, W) in -1..1 to latents (B, 4, H/8, W/8) and back; H and W multiples of 8.

    Args:
        fine: channels at a quarter of the side.
        coarse: channels at an eighth of the side.
        blocks: residual blocks per level in the encoder; the decoder has one more.
    """

    latent_channels = LATENT_CHANNELS
    concept_atelier_family = "lab"  # by which ComfyUI's host tells it from other VAEs

    def __init__(self, fine: int = 64, coarse: int = 128, blocks: int = 2) -> None:
        super().__init__()
        self.config = {"fine": fine, "coarse": coarse, "blocks": blocks}
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            Conv2d(48, fine, 3, padding=1),
            *[ResidualBlock(fine) for _ in range(blocks)],
            Conv2d(fine, coarse, 3, stride=2, padding=1),
            *[ResidualBlock(coarse) for _ in range(blocks)],
            nn.SiLU(),
            Conv2d(coarse, 2 * LATENT_CHANNELS, 1),
        )
        self.decoder = nn.Sequential(
            Conv2d(LATENT_CHANNELS, coarse, 3, padding=1),
            *[ResidualBlock(coarse) for _ in range(blocks + 1)],
            Conv2d(coarse, 4 * fine, 1),
            nn.PixelShuffle(2),
            *[ResidualBlock(fine) for _ in range(blocks + 1)],
            nn.SiLU(),
            Conv2d(fine, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def moments(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, both (B, 4, H/8, W/8), before the scaling factor."""
        mean, logvar = self.encoder(picture).chunk(2, dim=1)
        return mean, logvar.clamp(-20, 10)

    def encode(self, picture: Tensor) -> Tensor:
        """The posterior mean."""
        return self.moments(picture)[0]

    def decode(self, latent: Tensor) -> Tensor:
        """The picture of an unscaled latent, about -1..1 (not clamped)."""
        return self.decoder(latent)

    @torch.no_grad()
    def fold_scale(self, std: Tensor) -> None:
        """Absorb the standard deviation (4,) of the latents, so that ``latent * SCALING_FACTOR`` is about N(0, 1).

        Decoded pictures stay the same up to rounding. (A mean is left: with it folded, zero padding at the rim
        would no longer be zero.)
        """
        gain = 1 / (std * SCALING_FACTOR)
        last, first = self.encoder[-1], self.decoder[0]
        assert isinstance(last, Conv2d) and isinstance(first, Conv2d)
        last.weight[:LATENT_CHANNELS] *= gain[:, None, None, None]
        assert last.bias is not None
        last.bias[:LATENT_CHANNELS] *= gain
        last.bias[LATENT_CHANNELS:] += 2 * gain.log()
        first.weight /= gain[None, :, None, None]
