"""What learning holds in memory with blocks computed twice, and without.

On a model of the host: time, memory and gradients of a pass. On the real widths of Stable Diffusion 1.5 and XL: the
memory of all tensors alive at once, found on tensors that have shapes and no contents, so that it takes no machine of
that size. Room that operators take inside is not in that.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ...core.backbone import Conditioning
from ...core.schedule import scaled_linear_alphas
from ...host.adapters import at_work, backbone_of
from ...host.shared.handles import ModelHandle
from .ground import TEXT, Ground, Shape
from .meters import interleaved, megabytes, memory_of, ratios
from .settings import CostSettings

SHAPES: Mapping[str, tuple[int, int, Mapping[str, Any]]] = {
    "sd15": (512, 768, {"cross_attention_dim": 768}),
    "sdxl": (
        1024,
        2048,
        {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "use_linear_projection": True,
            "cross_attention_dim": 2048,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
    ),
}
"""Family to the side of its pictures, the width of its text and its UNet as diffusers describes it."""


def recomputing_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """One row forward and backward to the text, ``save_memory`` off (``plain``) and on (``ours``)."""
    with torch.inference_mode(False), at_work(backbone_of(ground.model, ground.clip, ground.vae)) as backbone:
        context = backbone.encode_text([TEXT]).context.detach().clone()
        cells = shape.side // backbone.latent_downscale
        latent = torch.randn(1, 4, cells, cells, generator=torch.Generator().manual_seed(0))
        off, on = (lambda choice=choice: gradient(backbone, latent, context, choice) for choice in ("off", "on"))
        one, other = off(), on()
        memory = {f"{name}_peak_mb": megabytes(memory_of(job).peak) for name, job in (("plain", off), ("ours", on))}
        times = ratios(*interleaved(off, on, settings.repetitions))
    by_shapes = {
        family: {"side": side} | {f"{choice}_mb": megabytes(held_by_shapes(family, choice)) for choice in ("off", "on")}
        for family, (side, _, _) in SHAPES.items()
    }
    return times | memory | {"largest_difference": float((one - other).abs().max()), "by_shapes": by_shapes}


def gradient(backbone: Any, latent: Tensor, context: Tensor, choice: str, extras: Any = None) -> Tensor:
    """Of the mean square of the predicted noise, with respect to the context (1, L, D)."""
    with torch.enable_grad():
        backbone.recomputation.choice = choice
        text = context.detach().clone().requires_grad_()
        time = torch.full((len(latent),), 500)
        predicted = backbone.predict_noise(latent, time, Conditioning(text, extras or {}))
        found: Tensor = torch.autograd.grad(predicted.square().mean(), text)[0]
    return found


def held_by_shapes(family: str, choice: str, side: int | None = None) -> int:
    """Bytes of :func:`gradient` on a UNet of real widths, float32, without its weights."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    own_side, width, how = SHAPES[family]
    cells = (side or own_side) // 8
    with torch.inference_mode(False):
        with torch.device("meta"):
            unet = UNet2DConditionModel(**how).eval()
            latent, context = torch.empty(1, 4, cells, cells), torch.empty(1, 77, width)
            pooled = {"pooled_output": torch.empty(1, 1280), "time_ids": torch.empty(1, 6)} if family == "sdxl" else {}
        backbone = backbone_of(ModelHandle(unet, scaled_linear_alphas(1000, 0.00085, 0.012), family))
        with kernel_of_the_processor(), Held() as held:
            gradient(backbone, latent, context, choice, pooled)
    return held.peak


class Held(TorchDispatchMode):
    """Within it, what tensors that are made hold together.

    Attributes:
        peak: the most bytes at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        known = {id(storage) for storage in _storages((args, kwargs))}
        for storage in _storages(result):
            if id(storage) not in known and id(storage) not in self._known:
                self._add(storage)
        return result

    def _add(self, storage: Any) -> None:
        size, number = storage.nbytes(), id(storage)

        def gone() -> None:
            self._known.pop(number, None)
            self._now -= size

        self._known[number] = weakref.finalize(storage, gone)
        self._now += size
        self.peak = max(self.peak, self._now)


def _storages(values: Any) -> Iterator[Any]:
    return (value.untyped_storage() for value in tree_iter(values) if isinstance(value, Tensor))


@contextmanager
def kernel_of_the_processor() -> Iterator[None]:
    """Within the context attention keeps what PyTorch's kernel for processors keeps, whatever the device."""
    plain = nn.functional.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value)[0]

    nn.functional.scaled_dot_product_attention = attention  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = plain
