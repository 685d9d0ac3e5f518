"""MODELs of the small transformers at random weights, and what they are fed."""

from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from .sizes import SMALL


def here(family: str) -> bool:
    """Whether this ComfyUI knows the family."""
    import comfy.supported_models

    return hasattr(comfy.supported_models, SMALL[family].config)


def build(family: str, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A small MODEL of a family; ``changes`` are other sizes of its denoiser."""
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.supported_models as supported

    small = SMALL[family]
    config = type("Small", (getattr(supported, small.config),), {})({**small.settings, **changes})
    config.set_inference_dtype(dtype, None)
    with _small_adapter():
        model = config.get_model({}, device=mm.get_torch_device())
    generator = torch.Generator().manual_seed(seed)
    model.diffusion_model.load_state_dict(
        {name: random_weight(name, old, generator) for name, old in model.diffusion_model.state_dict().items()}
    )
    return comfy.model_patcher.ModelPatcher(
        model, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
    )


def query_weight(model: Any) -> str:
    """A weight that makes queries in a block."""
    ends, elsewhere = ("qkv.weight", "wq.weight", "to_q.weight", "q_proj.weight"), ("refiner", "txtfusion", "adapter")
    return next(
        name
        for name, weight in model.model.state_dict().items()
        if weight.ndim == 2 and name.endswith(ends) and not any(part in name for part in elsewhere)
    )


def conditioning(family: str, rows: int = 7, seed: int = 1, batch: int = 1) -> list[Any]:
    """A random CONDITIONING of so many rows."""
    small, generator = SMALL[family], torch.Generator().manual_seed(seed)
    extras: dict[str, Any] = {"pooled_output": torch.randn(batch, small.pooled, generator=generator)}
    if not small.pooled:
        extras = {"pooled_output": None}
    if family == "anima":
        extras |= {"t5xxl_ids": torch.randint(3, 99, (rows + 2,), generator=generator)}
        extras |= {"t5xxl_weights": torch.ones(rows + 2)}
    return [[torch.randn(batch, rows, small.width, generator=generator), extras]]


def latent(family: str, size: tuple[int, int] = (8, 12), batch: int = 1) -> torch.Tensor:
    """An empty latent."""
    small = SMALL[family]
    return torch.zeros(batch, small.channels, *((1,) if small.film else ()), *size)


def random_weight(name: str, old: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A weight in place of an old one: matrices N(0, 1 / inputs), others near 1 where they scale, near 0 where not."""
    if not old.is_floating_point() or "pos_embedder" in name:
        return old
    drawn = torch.randn(old.shape, generator=generator)
    if old.ndim < 2:
        return (0.1 * drawn + (1.0 if name.endswith(("weight", "scale")) else 0.0)).to(old.dtype)
    return (drawn * max(1, old[0].numel()) ** -0.5).to(old.dtype)


@contextmanager
def _small_adapter() -> Any:
    """Anima's adapter between its two text encoders, small as well: its sizes are no settings."""
    import comfy.ldm.anima.model as anima

    stock = anima.LLMAdapter
    anima.LLMAdapter = partial(stock, source_dim=16, target_dim=16, model_dim=16, num_layers=1, num_heads=2)
    try:
        yield
    finally:
        anima.LLMAdapter = stock
