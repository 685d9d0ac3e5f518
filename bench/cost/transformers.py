"""What Capture Attention costs on transformers of real widths: a few of their blocks are run, of ComfyUI's own classes
at random weights, and the whole is reckoned from them. Inside ComfyUI only.

Blocks of one kind cost the same, whatever their weights say. So a pass of the whole model takes what stands beside the
blocks here, and for each kind the time of a block as often as it has blocks. Every block here is recorded, and by
default a part of them is in the whole model.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...host.comfy.transformers.sites import default_sites, site_table
from ...host.shared.families import FAMILIES
from .capturing import captured, timed_maps
from .ground import Shape
from .meters import Time, interleaved, megabytes, memory_of, ratios, timed
from .settings import CostSettings

TEXT_ROWS = 128
"""Of the prompt: a paragraph. FLUX.2 pads it to 512 rows."""


@dataclass(frozen=True)
class Width:
    """A transformer at its real width.

    Attributes:
        config: class in ``comfy.supported_models``.
        family: its family's name.
        settings: of its denoiser, a few blocks of each kind.
        channels: of its latents.
        cell: pixels of a latent cell along a side.
        text: width of its text.
        whole: list of blocks to their number in the whole model, and which setting says how many there are.
    """

    config: str
    family: str
    settings: Mapping[str, Any]
    channels: int
    cell: int
    text: int
    whole: Mapping[str, tuple[int, str]]


WIDTHS: Mapping[str, Width] = {
    "z_image": Width(
        "ZImage",
        "z_image",
        {
            "image_model": "lumina2",
            "patch_size": 2,
            "in_channels": 16,
            "dim": 3840,
            "cap_feat_dim": 2560,
            "n_layers": 2,
            "n_refiner_layers": 2,
            "n_heads": 30,
            "n_kv_heads": 30,
            "axes_dims": [32, 48, 48],
            "axes_lens": [1536, 512, 512],
            "qk_norm": True,
            "z_image_modulation": True,
            "time_scale": 1000.0,
            "rope_theta": 256.0,
            "ffn_dim_multiplier": 8 / 3,
            "pad_tokens_multiple": 32,
        },
        16,
        8,
        2560,
        {"layers": (30, "n_layers")},
    ),
    "flux2_klein": Width(
        "Flux2",
        "flux2",
        {
            "image_model": "flux2",
            "in_channels": 128,
            "out_channels": 128,
            "vec_in_dim": None,
            "context_in_dim": 7680,
            "hidden_size": 3072,
            "num_heads": 24,
            "depth": 2,
            "depth_single_blocks": 2,
            "axes_dim": [32, 32, 32, 32],
            "theta": 2000,
            "patch_size": 1,
            "mlp_ratio": 3.0,
            "global_modulation": True,
            "mlp_silu_act": True,
            "guidance_embed": False,
            "qkv_bias": False,
            "ops_bias": False,
            "txt_ids_dims": [3],
            "default_ref_method": "index",
            "ref_index_scale": 10.0,
        },
        128,
        16,
        7680,
        {"double_blocks": (5, "depth"), "single_blocks": (20, "depth_single_blocks")},
    ),
}
"""Z-Image and FLUX.2 klein 4B, as ComfyUI reads them from their checkpoints."""


class TransformerGround:
    """A transformer of a :class:`Width` in single precision, as MODEL."""

    def __init__(self, version: str, name: str, width: Width | None = None) -> None:
        self.host = f"ComfyUI {version}"
        self.width = WIDTHS[name] if width is None else width
        self.model = _built(self.width)
        self.denoiser: nn.Module = self.model.model.diffusion_model

    def sample(self, model: Any, side: int, steps: int) -> Any:
        """A sampling run of the stock sampler, without guidance."""
        import comfy.sample

        cells = side // self.width.cell
        latent = torch.zeros(1, self.width.channels, cells, cells)
        noise = comfy.sample.prepare_noise(latent, 1)
        text = torch.randn(1, TEXT_ROWS, self.width.text, generator=torch.Generator().manual_seed(1))
        conditioning = [[text, {"pooled_output": None}]]
        how = (steps, 1.0, "euler", "simple", conditioning, conditioning, latent)
        return comfy.sample.sample(model, noise, *how, disable_pbar=True)


def blocks_cost(ground: TransformerGround, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """A step with every block captured against one without, what each kind of block and its map take of it, and from
    these the ratio of the whole model at its default blocks."""
    listening, settings = captured(ground, blocks="all", least_grid=1, greatest_grid=256), replace(settings, steps=1)

    def plain() -> Any:
        return ground.sample(ground.model, shape.side, settings.steps)

    def ours() -> Any:
        return ground.sample(listening, shape.side, settings.steps)

    memory = memory_of(plain), memory_of(ours)
    laps: list[Laps] = []

    def watched() -> None:
        maps: list[Time] = []
        with timed_maps(maps), _timed_blocks(ground, maps) as blocks:
            run = timed(ours)
        laps.append(Laps(run.cpu, tuple(blocks)))

    times = interleaved(plain, watched, settings.repetitions)
    blocks, beside = _medians(laps)
    whole = _whole(ground.width, blocks, beside)
    return ratios(*times) | {
        "text_rows": TEXT_ROWS,
        "beside_blocks_cpu_s": round(beside, 4),
        "blocks": blocks,
        "whole": whole,
        "plain_peak_mb": megabytes(memory[0].peak),
        "ours_peak_mb": megabytes(memory[1].peak),
        "more_mb": megabytes(memory[1].peak - memory[0].peak),
        "kept_mb": megabytes(memory[1].kept - memory[0].kept),
        "steps": settings.steps,
    }


@dataclass(frozen=True)
class Laps:
    """One captured run: its processor time, and of every block that ran its kind, its own time and that of its map."""

    whole: float
    blocks: tuple[tuple[str, float, float], ...]


def _medians(runs: Sequence[Laps]) -> tuple[dict[str, dict[str, float]], float]:
    """Median seconds of processor time: of a block of each kind without its map, and of its map; and of the rest."""
    kinds = dict.fromkeys(name for run in runs for name, *_ in run.blocks)
    blocks = {
        kind: {
            said: round(statistics.median(lap[at] for run in runs for lap in run.blocks if lap[0] == kind), 4)
            for at, said in ((1, "plain_cpu_s"), (2, "map_cpu_s"))
        }
        for kind in kinds
    }
    rest = statistics.median(run.whole - sum(own + inside for _, own, inside in run.blocks) for run in runs)
    return blocks, max(0.0, rest)


@contextmanager
def _timed_blocks(ground: TransformerGround, maps: list[Time]) -> Iterator[list[tuple[str, float, float]]]:
    """Within the context, the kind of every block that ran, its processor time without its map, and that of its map."""
    laps: list[tuple[str, float, float]] = []
    began: list[tuple[float, int]] = []

    def before(*_: Any) -> None:
        began.append((time.process_time(), len(maps)))

    def behind(name: str) -> Any:
        def hook(*_: Any) -> None:
            start, done = began.pop()
            inside = sum(one.cpu for one in maps[done:])
            laps.append((name, time.process_time() - start - inside, inside))

        return hook

    handles = []
    for name in ground.width.whole:
        for block in getattr(ground.denoiser, name):
            handles += [block.register_forward_pre_hook(before), block.register_forward_hook(behind(name))]
    try:
        yield laps
    finally:
        for handle in handles:
            handle.remove()


def _whole(width: Width, blocks: Mapping[str, Mapping[str, float]], beside: float) -> dict[str, Any]:
    """The whole model, by its number of blocks: seconds of a pass, how many blocks are recorded, and what that adds."""
    recorded = _recorded(width)
    plain = beside + sum(number * blocks[name]["plain_cpu_s"] for name, (number, _) in width.whole.items())
    more = sum(recorded[name] * blocks[name]["map_cpu_s"] for name in width.whole)
    return {
        "blocks": sum(number for number, _ in width.whole.values()),
        "recorded": sum(recorded.values()),
        "plain_cpu_s": round(plain, 3),
        "cpu_ratio": round(1 + more / plain, 4),
    }


def _recorded(width: Width) -> dict[str, int]:
    """How many blocks of each kind of the whole model are recorded by default."""
    numbers = {setting: number for number, setting in width.whole.values()}
    with torch.device("meta"):
        denoiser = _model(width, {**width.settings, **numbers}, torch.device("meta")).diffusion_model
    family = FAMILIES[width.family]
    names = default_sites(family, denoiser)
    sites = {site.name for site in site_table(family, denoiser).values()}
    return {name: sum(f".{name}." in site for site in sites.intersection(names)) for name in width.whole}


def _built(width: Width) -> Any:
    import comfy.model_management as management
    import comfy.model_patcher

    device = management.get_torch_device()
    model = _model(width, width.settings, device)
    noise = torch.randn(2**20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, weight in model.diffusion_model.named_parameters():
            _fill(name, weight, noise)
    patcher = comfy.model_patcher.ModelPatcher
    return patcher(model, load_device=device, offload_device=management.unet_offload_device())


def _model(width: Width, settings: Mapping[str, Any], device: torch.device) -> Any:
    import comfy.supported_models as supported

    config = type("Real", (getattr(supported, width.config),), {})(dict(settings))
    config.set_inference_dtype(torch.float32, None)
    return config.get_model({}, device=device)


def _fill(name: str, weight: Tensor, noise: Tensor) -> None:
    """Matrices N(0, 1 / inputs) of numbers that repeat, norms 1, biases 0."""
    if weight.ndim < 2:
        weight.fill_(float(name.endswith(("weight", "scale"))))
        return
    flat = weight.view(-1)
    for start in range(0, flat.numel(), noise.numel()):
        part = flat[start : start + noise.numel()]
        part.copy_(noise[: part.numel()]).mul_(weight[0].numel() ** -0.5)
