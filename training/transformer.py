"""Train the lab's transformer by rectified flow (Liu et al. 2023, arXiv 2209.03003) with the text encoder that ships.

The text encoder was learnt together with the UNet and serves both denoisers, so it stays as it is. The target is what
the trained UNet predicts at the same ratio of signal to noise, except where there is almost nothing but noise: a
prediction is the mean over all pictures that the noisy latent may come from, so it varies less than the one picture
that was drawn (Luhman & Luhman 2021, arXiv 2101.02388, distil a model's drawings; here it is its single predictions).
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.files import save_tensors
from ..core.schedule import clean_from_noise, flow_of_alphas
from ..host.headless.flux import velocity
from ..lab.model.modules import alphas_cumprod, build_text_encoder, build_unet
from ..lab.model.transformer import build_transformer, fill, load_transformer_state, trained_state
from ..lab.model.vae import LabVAE
from ..lab.model.weights import WEIGHTS, load_part
from .alignment import Alignment, Watched
from .attention import attend_by_matrices
from .common import Run
from .dataset import Scenes, SceneStream, draw_ahead
from .machine import CPU, Machine
from .mixture import CLOSE_UP, TALL, WHOLE, WIDE, Pool, draw_pools, orders_of, train_mixture
from .optimisers import muon_beside_adamw
from .team import Team, launch
from .unet import empty_caption

log = logging.getLogger("concept_atelier.lab")

MIXTURE: tuple[tuple[Pool, float], ...] = ((WHOLE, 0.45), (WIDE, 0.15), (TALL, 0.15), (CLOSE_UP, 0.25))

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
        distilled: share of noise up to which the target is the UNet's prediction, and beyond which it is the velocity
            of the one picture; with 0, the UNet is not run. The UNet was not trained beyond 0.93.
        aligned: weight of the distance between hidden states and the UNet's features (:mod:`.alignment`) beside the
            error of the velocity; with 0, none is measured.
        small_until: share of the training up to which the smallest scenes are trained on alone. There the objects are
            learnt, at a quarter of the cost of whole scenes.
        short_text_until: share of the training up to which text ends behind the longest caption of a batch, which
            takes less time. Afterwards all 77 rows are read, as in use; most of them repeat the end token.
        averages: decays of the averages; the first is published.
        captions: of each scene.
    """

    mixture: tuple[tuple[Pool, float], ...] = MIXTURE
    samples: int = 140_000
    minutes: float | None = None
    learning_rate: float = 1e-3
    cool_from: float = 0.7
    caption_dropout: float = 0.1
    captions: int = 4
    even: float = 0.3
    distilled: float = 0.85
    aligned: float = 0.3
    small_until: float = 0.4
    short_text_until: float = 0.85
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
        bfloat16=True,
        note_every=200,
        save_every=1_000_000,
    )


@dataclass(frozen=True)
class TransformerInputs:
    """What the training builds on: the model folder whose autoencoder, text encoder and UNet it uses, the machine,
    the scenes if somebody draws them already, and whether a new run begins with the weights of the folder's
    transformer."""

    model: Path = WEIGHTS
    machine: Machine = CPU
    streams: Sequence[SceneStream] | None = None
    goes_on: bool = False


class Teacher(nn.Module):
    """The trained UNet, asked for velocities."""

    alphas: Tensor
    shares: Tensor

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet.eval().requires_grad_(False)
        alphas = alphas_cumprod()
        self.register_buffer("alphas", alphas.float())
        self.register_buffer("shares", flow_of_alphas(alphas).float())

    def nearest(self, level: Tensor) -> Tensor:
        """(B,) long: the timesteps whose ratio of signal to noise is nearest to shares of noise (B,)."""
        after = torch.searchsorted(self.shares, level).clamp(1, len(self.shares) - 1)
        lower = level - self.shares[after - 1] < self.shares[after] - level
        return after - lower.long()

    @torch.no_grad()
    def forward(self, noisy: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        """Velocity (B, C, h, w) at latents (B, C, h, w) of a flow at the timesteps' shares of noise."""
        signal = self.alphas[timestep][:, None, None, None]
        spread = signal.sqrt() + (1 - signal).sqrt()  # the shares of a flow sum to 1, those of the UNet to this
        seen = (noisy * spread).to(memory_format=torch.channels_last)
        noise = self.unet(seen, timestep, context).sample.float()
        return noise - clean_from_noise(noise, seen, timestep, self.alphas)


def noise_levels(count: int, even: float, device: torch.device | str = "cpu") -> Tensor:
    """(count,) shares of noise in 0..1: evenly drawn with probability ``even``, else logit-normal."""
    peaked = torch.randn(count, device=device).sigmoid()
    return torch.where(torch.rand(count, device=device) < even, torch.rand(count, device=device), peaked)


def flow_loss(
    transformer: nn.Module,
    teacher: Teacher | None,
    text: Any,
    latent: Tensor,
    tokens: Tensor,
    settings: TransformerSettings,
    done: float = 1.0,
    alignment: Alignment | None = None,
) -> Tensor:
    """Error of the velocity, by what the teacher predicts where there is one, and the weighted distance from its
    features where they are aligned with.

    ``latent`` (B, C, h, w), ``tokens`` (B, 77) long, some replaced by the empty caption; ``done`` is the share of the
    training that is behind.
    """
    batch, device = len(latent), latent.device
    dropped = torch.rand(batch, device=device) < settings.caption_dropout
    level, noise = noise_levels(batch, settings.even, device), torch.randn_like(latent)
    target = noise - latent
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16, cache_enabled=False):
        with torch.no_grad():
            context = text(torch.where(dropped[:, None], empty_caption(device), tokens)).last_hidden_state.float()
        taught = (level <= settings.distilled).nonzero()[:, 0]
        if teacher is not None and len(taught):
            timestep = teacher.nearest(level[taught])
            level = level.index_copy(0, taught, teacher.shares[timestep])
        share = level[:, None, None, None]
        noisy = (1 - share) * latent + share * noise
        read = length_of(tokens) if done < settings.short_text_until else tokens.shape[1]
        watching: AbstractContextManager[Watched] = nullcontext(({}, {}))
        if alignment is not None and teacher is not None:
            watching = alignment.watching(transformer, teacher.unet)
        with watching as (hidden, features):
            if teacher is not None and len(taught):
                target = target.index_copy(0, taught, teacher(noisy[taught], timestep, context[taught]))
            predicted = velocity(transformer, noisy, level, context[:, :read])
    error = (predicted.float() - target).square().mean()
    if alignment is None or not features:
        return error
    return error + settings.aligned * alignment.loss(hidden, features, taught)


def shares(settings: TransformerSettings, done: float) -> list[float]:
    """Of each pool, its share of the samples after so much of the training."""
    if done >= settings.small_until:
        return [share for _, share in settings.mixture]
    areas = [pool.scenes.size[0] * pool.scenes.size[1] for pool, _ in settings.mixture]
    return [float(area == min(areas)) for area in areas]


def length_of(tokens: Tensor) -> int:
    """Rows (B, L) up to the end of the longest caption, its end token included; what pads is the end token again."""
    return int((tokens == tokens.max()).int().argmax(1).max()) + 1


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
    teacher = Teacher(unet.to(memory_format=torch.channels_last)).to(device) if settings.distilled > 0 else None
    torch.manual_seed(settings.seed)
    transformer = build_transformer().to(device)
    if inputs.goes_on:
        fill(transformer, load_transformer_state(inputs.model))
    alignment = Alignment().to(device) if teacher is not None and settings.aligned else None
    if device == "cpu" and settings.bfloat16:
        attend_by_matrices(transformer)
    modules = {"transformer": transformer} | ({"alignment": alignment} if alignment else {})
    optimiser = muon_beside_adamw(list(modules.values()), in_blocks, decay=0.01)
    run = Run(folder, modules, optimiser, asdict(settings), settings.averages, team.leads)
    torch.manual_seed(settings.seed + run.samples * team.size + team.rank)

    def train_on(scenes: Scenes) -> None:
        def loss_of(_: int, batch: tuple[Tensor, Tensor], done: float) -> Tensor:
            return flow_loss(transformer, teacher, text, *batch, settings, done, alignment)

        train_mixture(
            run, scenes, settings, team, loss_of, lambda sheet: checkpoint(run, settings), partial(shares, settings)
        )

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
    """Whether a weight of the transformer is a matrix of a block that is not its modulation."""
    return "transformer_blocks." in name and ".norm" not in name


def checkpoint(run: Run, settings: TransformerSettings) -> None:
    """Save the state and the averages."""
    if not run.leads:
        return
    for number, decay in enumerate(settings.averages):
        place = run.folder if number == 0 else run.folder / f"average-{decay}"
        save_tensors(place / "transformer.safetensors", trained_state(run.average("transformer", number)))
    run.save()
