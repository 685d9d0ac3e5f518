"""Train the lab's transformer by rectified flow (Liu et al. 2023, arXiv 2209.03003) with the text encoder that ships.

The text encoder was learnt together with the UNet and serves both denoisers, so it stays as it is. In the first part
of the training, the picture's rows in the middle of the transformer are pulled towards features that the trained UNet
has of the clean latent (Yu et al. 2025, arXiv 2410.06940; Tian et al. 2025, arXiv 2503.18414).
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.files import save_tensors
from ..core.schedule import add_noise
from ..host.headless.flux import velocity
from ..lab.model.modules import alphas_cumprod, build_text_encoder, build_unet
from ..lab.model.transformer import build_transformer, trained_state
from ..lab.model.vae import LabVAE
from ..lab.model.weights import WEIGHTS, load_part
from .attention import attend_by_matrices
from .common import Run
from .dataset import Scenes, SceneStream, draw_ahead
from .machine import CPU, Machine
from .mixture import MIXTURE, Pool, draw_pools, orders_of, train_mixture
from .optimisers import muon_beside_adamw
from .team import Team, launch
from .unet import empty_caption

log = logging.getLogger("concept_atelier.lab")

LARGE = 16
"""Batches on an accelerator, as a multiple of those on a CPU."""


@dataclass(frozen=True)
class TransformerSettings:
    """What the training of the transformer follows.

    Attributes:
        mixture: of each pool, its share of the samples.
        samples: length of the training.
        minutes: ends it earlier, after so much time spent in it.
        learning_rate: held after a warm-up of 100 steps and, from ``cool_from`` of the way on, let down to zero.
        even: share of the noise levels that are drawn evenly; the others are logit-normal, around one half (Esser et
            al. 2024, arXiv 2403.03206, sec. 3.1). Localisation reads the model at low noise, which those leave out.
        alignment: weight of the alignment with the UNet's features; with 0, the UNet is not run.
        aligned: samples after which alignment ends.
        averages: decays of the averages; the first is published.
        captions: of each scene.
    """

    mixture: tuple[tuple[Pool, float], ...] = MIXTURE
    samples: int = 1_500_000
    minutes: float | None = None
    learning_rate: float = 1e-3
    cool_from: float = 0.75
    caption_dropout: float = 0.1
    captions: int = 4
    even: float = 0.3
    alignment: float = 0.5
    aligned: int = 300_000
    averages: tuple[float, ...] = (0.999, 0.9998)
    seed: int = 0
    save_every: int = 5_000
    sheet_every: int = 0
    note_every: int = 50
    bfloat16: bool = False


def settings_for(device: str) -> TransformerSettings:
    """On a CPU the recipe as it is; on an accelerator larger batches with a larger rate, bfloat16, and no end but the
    time's."""
    recipe = TransformerSettings()
    if device == "cpu":
        return recipe
    mixture = tuple(
        (replace(pool, batch=LARGE * pool.batch, count=10 * pool.count), share) for pool, share in recipe.mixture
    )
    return replace(
        recipe,
        mixture=mixture,
        samples=10**9,
        learning_rate=2e-3,
        aligned=3_000_000,
        bfloat16=True,
        note_every=200,
        save_every=1_000_000,
    )


@dataclass(frozen=True)
class TransformerInputs:
    """What the training builds on: the model folder whose autoencoder, text encoder and UNet it uses, the machine,
    and the scenes if somebody draws them already."""

    model: Path = WEIGHTS
    machine: Machine = CPU
    streams: Sequence[SceneStream] | None = None


class Student(nn.Module):
    """The transformer, and the picture's rows after its first block of one stream, projected to the teacher's width."""

    def __init__(self, transformer: nn.Module, width: int) -> None:
        super().__init__()
        self.transformer = transformer
        inner = transformer.get_parameter("x_embedder.weight").shape[0]
        self.projector = nn.Sequential(nn.Linear(inner, 2 * inner), nn.SiLU(), nn.Linear(2 * inner, width))
        self._rows: Tensor | None = None

    def forward(self, noisy: Tensor, level: Tensor, context: Tensor, align: bool) -> tuple[Tensor, Tensor | None]:
        """Velocity (B, C, h, w), and the projected rows (B, h * w, width) where they are asked for."""
        kept: list[Tensor] = []
        block = self.transformer.get_submodule("single_transformer_blocks.0")
        handle = block.register_forward_hook(lambda _, __, output: kept.append(output[1]))
        try:
            predicted = velocity(self.transformer, noisy, level, context)
        finally:
            handle.remove()
        return predicted, self.projector(kept[0]) if align else None


class Teacher(nn.Module):
    """The trained UNet up to its last but one level, where its features have the latent's size."""

    timestep = 50
    """Of the little noise that its latents get."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.width = unet.up_blocks[-2].resnets[-1].out_channels
        unet.up_blocks = unet.up_blocks[:-1]
        unet.conv_norm_out, unet.conv_out = None, nn.Identity()
        self.unet = unet.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, latent: Tensor, noise: Tensor, context: Tensor, alphas: Tensor) -> Tensor:
        """Features (B, h * w, width) of clean latents (B, C, h, w)."""
        time = torch.full((len(latent),), self.timestep, device=latent.device)
        seen = add_noise(latent, noise, time, alphas).to(memory_format=torch.channels_last)
        return self.unet(seen, time, context).sample.flatten(2).transpose(1, 2)


def noise_levels(count: int, even: float, device: torch.device | str = "cpu") -> Tensor:
    """(count,) shares of noise in 0..1: evenly drawn with probability ``even``, else logit-normal."""
    peaked = torch.randn(count, device=device).sigmoid()
    return torch.where(torch.rand(count, device=device) < even, torch.rand(count, device=device), peaked)


def flow_loss(
    student: Student, teacher: Teacher | None, text: Any, latent: Tensor, tokens: Tensor, settings: TransformerSettings
) -> Tensor:
    """Error of the velocity, and, with a teacher, the weighted distance of the student's rows from its features.

    ``latent`` (B, C, h, w), ``tokens`` (B, 77) long, some replaced by the empty caption.
    """
    batch, device = len(latent), latent.device
    dropped = torch.rand(batch, device=device) < settings.caption_dropout
    level, noise = noise_levels(batch, settings.even, device), torch.randn_like(latent)
    share = level[:, None, None, None]
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16, cache_enabled=False):
        with torch.no_grad():
            context = text(torch.where(dropped[:, None], empty_caption(device), tokens)).last_hidden_state.float()
        predicted, rows = student((1 - share) * latent + share * noise, level, context, teacher is not None)
        loss = (predicted.float() - (noise - latent)).square().mean()
        if teacher is None or rows is None:
            return loss
        features = teacher(latent, noise, context, alphas_cumprod().float().to(device))
    likeness = F.cosine_similarity(rows.float(), features.float(), dim=-1)  # (B, h * w)
    return loss + settings.alignment * (1 - likeness.mean())


def train_transformer(folder: Path, inputs: TransformerInputs, settings: TransformerSettings, workers: int = 1) -> None:
    """Train, or go on training, the transformer in a folder; ends with ``transformer.safetensors`` of the first
    average, and that of each other one in a folder of its own."""
    launch(workers, train_in_team, folder, inputs, settings)


def train_in_team(team: Team, folder: Path, inputs: TransformerInputs, settings: TransformerSettings) -> None:
    """:func:`train_transformer` as one of a team; batches are counted over all of it."""
    device = inputs.machine.device
    vae, text = LabVAE(), build_text_encoder()
    vae.load_state_dict(load_part(inputs.model, "vae"))
    text.load_state_dict(load_part(inputs.model, "text_encoder"))
    text.to(device).eval().requires_grad_(False)
    vae.to(device)
    unet = build_unet()
    unet.load_state_dict(load_part(inputs.model, "unet"))
    teacher = Teacher(unet.to(device, memory_format=torch.channels_last))
    torch.manual_seed(settings.seed)
    student = Student(build_transformer(), teacher.width).to(device)
    if device == "cpu" and settings.bfloat16:
        attend_by_matrices(student.transformer)
    optimiser = muon_beside_adamw([student], in_blocks, decay=0.01)
    modules = {"transformer": student.transformer, "projector": student.projector}
    run = Run(folder, modules, optimiser, asdict(settings), settings.averages, team.leads)
    torch.manual_seed(settings.seed + run.samples * team.size + team.rank)

    def train_on(scenes: Scenes) -> None:
        def loss_of(_: int, batch: tuple[Tensor, Tensor], done: float) -> Tensor:
            aligning = settings.alignment > 0 and run.samples < settings.aligned
            return flow_loss(student, teacher if aligning else None, text, *batch, settings)

        train_mixture(run, scenes, settings, team, loss_of, lambda sheet: checkpoint(run, settings))

    if inputs.streams is not None:
        train_on([stream.encode_with(vae) for stream in inputs.streams])
    elif inputs.machine.drawers == 0:
        train_on(draw_pools(folder, vae, settings, team))
    else:
        with inputs.machine.executor() as executor:
            streams = draw_ahead(orders_of(settings, run.samples), device, executor)
            train_on([stream.encode_with(vae) for stream in streams])
    checkpoint(run, settings)


def in_blocks(name: str) -> bool:
    """Whether a weight of the student is a matrix of a block that is not its modulation."""
    return "transformer_blocks." in name and ".norm" not in name


def checkpoint(run: Run, settings: TransformerSettings) -> None:
    """Save the state and the averages."""
    if not run.leads:
        return
    for number, decay in enumerate(settings.averages):
        place = run.folder if number == 0 else run.folder / f"average-{decay}"
        save_tensors(place / "transformer.safetensors", trained_state(run.average("transformer", number)))
    run.save()
