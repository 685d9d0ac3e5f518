"""The lab model's denoiser for running and learning: the UNet of Stable Diffusion, read from the files of diffusers.

Importing diffusers takes longer than everything else that a short run does, so the headless host computes with this.
Names of modules and weights are those of ``UNet2DConditionModel``, which trains and publishes the weights, and so are
the results (``tests/lab/model/test_unet.py``).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32


@dataclass(frozen=True)
class UnetConfig:
    """What hosts ask a UNet for beside its modules."""

    in_channels: int
    cross_attention_dim: int
    addition_embed_type: None = None


class Predicted(NamedTuple):
    """What a UNet gives: ``sample``, the noise (B, C, h, w)."""

    sample: Tensor


class Unet(nn.Module):
    """A UNet with one residual block and one transformer block a level, two on the way up.

    Args:
        channels: of latents.
        widths: channels of each level.
        heads: attention heads of each level.
        context: width of the text.
    """

    def __init__(self, channels: int, widths: Sequence[int], heads: Sequence[int], context: int) -> None:
        super().__init__()
        self.config = UnetConfig(channels, context)
        time, last = 4 * widths[0], len(widths) - 1
        self.conv_in = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.time_embedding = _TimeEmbedding(widths[0], time)
        self.down_blocks = nn.ModuleList(
            _DownBlock(widths[max(i - 1, 0)], width, time, heads[i], context, i < last)
            for i, width in enumerate(widths)
        )
        self.mid_block = _MidBlock(widths[-1], time, heads[-1], context)
        self.up_blocks = nn.ModuleList(
            _UpBlock(widths[min(i + 1, last)], widths[i], widths[max(i - 1, 0)], time, heads[i], context, i > 0)
            for i in reversed(range(len(widths)))
        )
        self.conv_norm_out = nn.GroupNorm(GROUPS, widths[0])
        self.conv_out = nn.Conv2d(widths[0], channels, 3, padding=1)

    @property
    def device(self) -> torch.device:
        return self.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.conv_in.weight.dtype

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        added_cond_kwargs: Mapping[str, Tensor] | None = None,
        return_dict: bool = False,
    ) -> Predicted:
        """The noise (B, C, h, w) in ``sample`` at ``timestep`` (B,) or (), given a text (B, L, D)."""
        time = self.time_embedding(_waves(timestep.expand(len(sample)), self.conv_in.out_channels).to(sample.dtype))
        held = [self.conv_in(sample)]  # what the way up reads of the way down
        for down in self.down_blocks:
            held += down(held[-1], time, encoder_hidden_states)
        x = self.mid_block(held[-1], time, encoder_hidden_states)
        for up in self.up_blocks:
            taken = [held.pop() for _ in range(2)]  # one for each of its residual blocks
            x = up(x, taken, time, encoder_hidden_states, held[-1].shape[-2:] if held else None)
        return Predicted(self.conv_out(functional.silu(self.conv_norm_out(x))))


class _TimeEmbedding(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, out), nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class _DownBlock(nn.Module):
    def __init__(self, given: int, width: int, time: int, heads: int, context: int, halves: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock2D(given, width, time)])
        self.attentions = nn.ModuleList([_Transformer(width, heads, context)])
        self.downsamplers = nn.ModuleList([_Downsample(width)] if halves else [])

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Iterator[Tensor]:
        """What the way up reads, the last of it being what goes on."""
        for resnet, attention in zip(self.resnets, self.attentions, strict=True):
            x = attention(resnet(x, time), context)
            yield x
        for down in self.downsamplers:
            yield down(x)


class _MidBlock(nn.Module):
    def __init__(self, width: int, time: int, heads: int, context: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([_Transformer(width, heads, context)])
        self.resnets = nn.ModuleList([ResnetBlock2D(width, width, time), ResnetBlock2D(width, width, time)])

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        x = self.attentions[0](self.resnets[0](x, time), context)
        return self.resnets[1](x, time)


class _UpBlock(nn.Module):
    def __init__(
        self, given: int, width: int, skipped: int, time: int, heads: int, context: int, doubles: bool
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            [ResnetBlock2D(given + width, width, time), ResnetBlock2D(width + skipped, width, time)]
        )
        self.attentions = nn.ModuleList([_Transformer(width, heads, context) for _ in self.resnets])
        self.upsamplers = nn.ModuleList([_Upsample(width)] if doubles else [])

    def forward(
        self, x: Tensor, held: Sequence[Tensor], time: Tensor, context: Tensor, size: Sequence[int] | None
    ) -> Tensor:
        for resnet, attention, skipped in zip(self.resnets, self.attentions, held, strict=True):
            x = attention(resnet(torch.cat([x, skipped], dim=1), time), context)
        for up in self.upsamplers:
            x = up(x, size)
        return x


class ResnetBlock2D(nn.Module):
    """Two convolutions with the time between them, added to what comes in."""

    def __init__(self, given: int, width: int, time: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, given), nn.Conv2d(given, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(time, width)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(given, width, 1) if given != width else None

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = h + self.time_emb_proj(functional.silu(time))[:, :, None, None]  # (B, C, h, w)
        h = self.conv2(functional.silu(self.norm2(h)))
        return (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h


class _Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class _Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, size: Sequence[int] | None) -> Tensor:
        return self.conv(functional.interpolate(x, size=None if size is None else tuple(size), mode="nearest"))


class _Transformer(nn.Module):
    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(width, heads, context)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        rows, width, height, length = x.shape
        h = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(rows, height * length, width)  # (B, h w, C)
        for block in self.transformer_blocks:
            h = block(h, context)
        return self.proj_out(h.reshape(rows, height, length, width).permute(0, 3, 1, 2).contiguous()) + x


class BasicTransformerBlock(nn.Module):
    """Attention to the picture, attention to the text, and a gated layer, each added to what comes in."""

    def __init__(self, width: int, heads: int, context: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = Attention(width, width, heads, False), Attention(width, context, heads, True)
        self.ff = _FeedForward(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = self.attn1(self.norm1(x)) + x
        x = self.attn2(self.norm2(x), context) + x
        return self.ff(self.norm3(x)) + x


class Attention(nn.Module):
    """Attention with several heads. ``heads``, ``scale`` and ``is_cross_attention`` are what listeners ask for."""

    def __init__(self, width: int, context: int, heads: int, is_cross_attention: bool) -> None:
        super().__init__()
        self.heads, self.scale, self.is_cross_attention = heads, (width // heads) ** -0.5, is_cross_attention
        self.to_q, self.to_k, self.to_v = (nn.Linear(size, width, bias=False) for size in (width, context, context))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        read = x if context is None else context
        query, key, value = (
            rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, n, d)
            for rows in (self.to_q(x), self.to_k(read), self.to_v(read))
        )
        found = functional.scaled_dot_product_attention(query, key, value)
        return self.to_out[0](found.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([_Gated(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        return self.net[2](self.net[0](x))


class _Gated(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * functional.gelu(gate)


def _waves(timestep: Tensor, width: int) -> Tensor:
    """(B,) to (B, width) float32: cosines, then sines, at frequencies from 1 to almost 1/10000."""
    half = width // 2
    exponents = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angles = timestep[:, None].float() * exponents.exp()[None, :]  # (B, width / 2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def lab_unet(config: Mapping[str, Any]) -> Unet:
    """The UNet of a configuration such as ``modules.UNET_CONFIG``."""
    return Unet(
        config["in_channels"], config["block_out_channels"], config["attention_head_dim"], config["cross_attention_dim"]
    )
