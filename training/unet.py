"""Train the denoiser and the text encoder together, on one mixture of cached latents from beginning to end.

The mixture stays the same throughout: earlier models that ended on close-ups had unlearnt to compose. A text encoder
that was trained by contrast and then frozen was what kept the second object of a prompt from being drawn.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.backbone import Conditioning
from ..core.files import load_tensors, save_tensors
from ..core.sampling import ddim
from ..core.schedule import add_noise, snr
from ..host.adapters import backbone_of
from ..host.shared.handles import ModelHandle
from ..lab.model.modules import TEXT_WIDTH, alphas_cumprod, build_text_encoder, build_unet
from ..lab.model.vae import DOWNSCALE, SCALING_FACTOR, LabVAE
from ..lab.model.weights import load_part
from .common import Run, save_sheet
from .dataset import Scenes, SceneStream, draw_ahead, tokenize
from .graphs import Denoise, EagerDenoise, recorded
from .machine import CPU, Machine
from .mixture import MIXTURE, PROMPTS, Pool, draw_pools, orders_of, train_mixture
from .team import Team, launch

log = logging.getLogger("concept_atelier.lab")


LATE = 0.1
"""The end of a training, in which low noise weighs more."""


@dataclass(frozen=True)
class UnetSettings:
    """What the training of denoiser and text encoder follows.

    Attributes:
        mixture: of each pool, its share of the samples.
        samples: length of the training.
        minutes: ends it earlier, after so much time spent in it.
        learning_rate: the denoiser's, held after a warm-up of 100 steps and, from ``cool_from`` of the way on, let
            down to zero as 1 - sqrt; the text encoder's is ``text_rate`` times that.
        snr_cap, least_weight: min-SNR weights (Hang et al. 2023, eq. 6), floored because localisation reads the model
            at t = 0, which the plain weights starve; in the last tenth the floor is ``late_weight``.
        sheet_every: samples between drawings of ``prompts``; with 0, none are drawn.
        averages: decays of the averages; the first is drawn with and published by default.
        captions: of each scene.
    """

    mixture: tuple[tuple[Pool, float], ...] = MIXTURE
    samples: int = 1_500_000
    minutes: float | None = None
    learning_rate: float = 3e-4
    text_rate: float = 0.5
    cool_from: float = 0.75
    caption_dropout: float = 0.1
    captions: int = 4
    snr_cap: float = 5.0
    least_weight: float = 0.15
    late_weight: float = 0.5
    averages: tuple[float, ...] = (0.998, 0.9995)
    seed: int = 0
    save_every: int = 10_000
    sheet_every: int = 20_000
    note_every: int = 50
    bfloat16: bool = False
    prompts: tuple[str, ...] = PROMPTS


@dataclass(frozen=True)
class UnetInputs:
    """What the training builds on: the autoencoder's file, the model folder whose denoiser and text encoder a new run
    begins with (None begins at random weights), the machine, and the scenes if somebody draws them already."""

    vae: Path
    start: Path | None = None
    machine: Machine = CPU
    streams: Sequence[SceneStream] | None = None


def weights(alphas: Tensor, timestep: Tensor, cap: float, least: float) -> Tensor:
    """(B,) loss weights of noise prediction."""
    ratio = snr(alphas[timestep])
    return (ratio.clamp(max=cap) / ratio).clamp(min=least)


@cache
def empty_caption(device: torch.device) -> Tensor:
    """Ids (77,) of the empty caption."""
    return tokenize([""])[0].to(device)


def step_loss(
    denoise: Denoise, text: Any, latent: Tensor, tokens: Tensor, alphas: Tensor, settings: UnetSettings, least: float
) -> Tensor:
    """Weighted noise prediction error of a batch; ``tokens`` (B, 77) long, some replaced by the empty caption."""
    batch, alphas = len(latent), alphas.to(latent.device)
    dropped = torch.rand(batch, device=latent.device) < settings.caption_dropout
    empty = empty_caption(latent.device)
    timestep = torch.randint(0, len(alphas), (batch,), device=latent.device)
    noise = torch.randn_like(latent)
    noisy = add_noise(latent, noise, timestep, alphas)
    with torch.autocast(latent.device.type, torch.bfloat16, enabled=settings.bfloat16, cache_enabled=False):
        context = text(torch.where(dropped[:, None], empty, tokens)).last_hidden_state
        predicted = denoise(noisy.to(memory_format=torch.channels_last), timestep, context.float())
    error = (predicted.float() - noise).square().mean((1, 2, 3))
    return (weights(alphas, timestep, settings.snr_cap, least).float() * error).mean()


def train_unet(folder: Path, inputs: UnetInputs, settings: UnetSettings, workers: int = 1) -> None:
    """Train, or go on training, denoiser and text encoder in a folder; ends with ``unet.safetensors`` and
    ``text_encoder.safetensors`` of the first average, and those of each other one in a folder of its own."""
    launch(workers, train_in_team, folder, inputs, settings)


def train_in_team(team: Team, folder: Path, inputs: UnetInputs, settings: UnetSettings) -> None:
    """:func:`train_unet` as one of a team; batches are counted over all of it."""
    device = inputs.machine.device
    vae = LabVAE()
    vae.load_state_dict(load_tensors(inputs.vae)[0])
    vae.to(device)
    torch.manual_seed(settings.seed)
    unet, text = build_unet().to(device, memory_format=torch.channels_last), build_text_encoder().to(device)
    if inputs.start is not None:
        unet.load_state_dict(load_part(inputs.start, "unet"))
        text.load_state_dict(load_part(inputs.start, "text_encoder"))
    groups = [
        {"params": list(unet.parameters()), "share": 1.0},
        {"params": list(text.parameters()), "share": settings.text_rate},
    ]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.01, fused=True)
    run = Run(folder, {"unet": unet, "text": text}, optimiser, asdict(settings), settings.averages, team.leads)
    torch.manual_seed(settings.seed + run.samples * team.size + team.rank)
    if inputs.streams is not None:
        train_on(run, [stream.encode_with(vae) for stream in inputs.streams], vae, settings, team)
    elif inputs.machine.drawers == 0:
        train_on(run, draw_pools(folder, vae, settings, team), vae, settings, team)
    else:
        with inputs.machine.executor() as executor:
            streams = draw_ahead(orders_of(settings, run.samples), device, executor)
            train_on(run, [stream.encode_with(vae) for stream in streams], vae, settings, team)
    checkpoint(run, vae, settings, sheet=settings.sheet_every > 0)


def train_on(run: Run, scenes: Scenes, vae: LabVAE, settings: UnetSettings, team: Team) -> None:
    """Train to the end; every step takes one pool, so that its pictures share a size."""
    alphas = alphas_cumprod().float()
    passes = passes_of(run.modules["unet"], settings)

    def loss_of(number: int, batch: tuple[Tensor, Tensor], done: float) -> Tensor:
        least = settings.least_weight if done < 1 - LATE else settings.late_weight
        return step_loss(passes[number], run.modules["text"], *batch, alphas, settings, least)

    train_mixture(run, scenes, settings, team, loss_of, lambda sheet: checkpoint(run, vae, settings, sheet))


def passes_of(unet: nn.Module, settings: UnetSettings) -> list[Denoise]:
    """The denoiser's pass for batches of each pool; on a GPU it is recorded."""
    if next(unet.parameters()).device.type != "cuda":
        return [EagerDenoise(unet)] * len(settings.mixture)
    shapes = [(pool.batch, 4, *(side // DOWNSCALE for side in pool.scenes.size)) for pool, _ in settings.mixture]
    return recorded(unet, shapes, TEXT_WIDTH, settings.bfloat16)


@torch.no_grad()
def checkpoint(run: Run, vae: LabVAE, settings: UnetSettings, sheet: bool) -> None:
    """Save the state and the averages, and draw the fixed prompts with the first."""
    if not run.leads:
        return
    for number, decay in enumerate(settings.averages):
        place = run.folder if number == 0 else run.folder / f"average-{decay}"
        save_tensors(place / "unet.safetensors", run.average("unet", number))
        save_tensors(place / "text_encoder.safetensors", run.average("text", number))
    run.save()
    if sheet:
        draw_sheet(run, vae, settings)


def draw_sheet(run: Run, vae: LabVAE, settings: UnetSettings) -> None:
    """The fixed prompts drawn by the first average, a row a seed."""
    unet, text, device = build_unet().eval(), build_text_encoder().eval(), next(vae.parameters()).device
    unet.load_state_dict(run.average("unet", 0))
    text.load_state_dict(run.average("text", 0))
    prompts, empty = (text(tokenize(said)).last_hidden_state for said in (list(settings.prompts), [""]))
    backbone = backbone_of(ModelHandle(unet, alphas_cumprod(), "lab", latent_downscale=DOWNSCALE))
    size = settings.mixture[0][0].scenes.size
    height, width = (side // DOWNSCALE for side in size)
    sheets = []
    for seed in (0, 1):
        latent = ddim(
            backbone, Conditioning(prompts), Conditioning(empty), (height, width), steps=12, guidance=3.5, seed=seed
        )
        sheets.append(vae.decode((latent / SCALING_FACTOR).to(device)).cpu())
    save_sheet(run.folder / f"pictures-{run.samples:07d}.png", sheets)
