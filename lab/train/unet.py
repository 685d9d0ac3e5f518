"""Train the denoiser on cached latents of several sizes: close-ups first, then mixtures, whole scenes last.

A scene of 64x64 pixels holds one object at the same size in pixels as a scene of 128x128, and costs a quarter: most
of what a denoiser must know (which word draws which shape) is learnt there. Pairs at half the cost teach it to keep
two objects apart; whole scenes, where things stand.
"""

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...core.backbone import Conditioning
from ...core.files import load_tensors, save_tensors
from ...core.sampling import ddim
from ...core.schedule import add_noise, snr
from ...host.adapters import backbone_of
from ...host.handles import ModelHandle
from ..model.modules import alphas_cumprod, build_text_encoder, build_unet
from ..model.vae import DOWNSCALE, SCALING_FACTOR, LabVAE
from ..model.weights import load_part, load_record
from ..world.scene import SceneSettings
from .common import Run, save_sheet
from .dataset import LatentScenes, cached_scenes, tokenize
from .team import Team, launch

if TYPE_CHECKING:
    from transformers import CLIPTextModel

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class Pool:
    """``count`` scenes of these settings, drawn once from ``first_seed`` on, trained on in batches of ``batch``."""

    name: str
    scenes: SceneSettings
    count: int
    batch: int
    first_seed: int


@dataclass(frozen=True)
class Stage:
    """A stretch of training, up to ``until`` samples in all; of each pool, its share of the samples."""

    until: int
    shares: tuple[tuple[Pool, float], ...]


def pool(name: str, size: tuple[int, int], count: int, batch: int, first_seed: int, **settings: Any) -> Pool:
    """A pool whose scenes now and then touch or are alike, and are tinted often enough to learn what colours are."""
    varied = {"tinted": 0.2, "alike": 0.08, "touching": 0.15}
    return Pool(name, SceneSettings(size=size, **{**varied, **settings}), count, batch, first_seed)


CLOSE_UP = pool("closeup", (64, 64), 48_000, 64, 1_000_000, counts=(1,), sides=(0.62, 0.97))
WHOLE = pool("whole", (128, 128), 30_000, 20, 2_000_000, counts=(1, 1, 2, 2, 2, 3))
FULL = pool("full", (128, 128), 24_000, 24, 5_000_000, counts=(1, 1, 1, 2, 2, 2, 3, 4), synonyms=0.4)
WIDE = pool("wide", (64, 128), 16_000, 32, 3_000_000, counts=(2,), sides=(0.58, 0.92))
TALL = pool("tall", (128, 64), 16_000, 32, 4_000_000, counts=(2,), sides=(0.58, 0.92))
STAGES = (
    Stage(120_000, ((CLOSE_UP, 1.0),)),
    Stage(140_000, ((WHOLE, 1.0),)),
    Stage(268_000, ((CLOSE_UP, 0.5), (WIDE, 0.175), (TALL, 0.175), (WHOLE, 0.15))),
    Stage(288_000, ((WHOLE, 1.0),)),
    Stage(340_000, ((CLOSE_UP, 0.6), (WIDE, 0.12), (TALL, 0.12), (FULL, 0.16))),
    Stage(360_000, ((CLOSE_UP, 0.68), (WIDE, 0.08), (TALL, 0.08), (FULL, 0.16))),
    Stage(400_000, ((CLOSE_UP, 0.74), (WIDE, 0.06), (TALL, 0.06), (FULL, 0.14))),
    Stage(494_000, ((CLOSE_UP, 0.8), (WIDE, 0.06), (TALL, 0.06), (FULL, 0.08))),
    Stage(500_500, ((FULL, 1.0),)),
)
PROMPTS = (
    "a cat in noto style on blue",
    "a rocket in fluent style on yellow",
    "a butterfly in twemoji style on white",
    "a photo of a strawberry",
    "a blue crab",
    "an umbrella and a lion",
    "a house and a sailboat in fluent style on green",
    "a robot and a pizza in noto style on grey",
)


@dataclass(frozen=True)
class UnetSettings:
    """``snr_cap`` and ``least_weight``: min-SNR weights (Hang et al. 2023, eq. 6), floored because localisation reads
    the model at t = 0, which the plain weights starve."""

    stages: tuple[Stage, ...] = STAGES
    learning_rate: float = 5e-4
    final_rate: float = 0.1
    decay_from: float = 0.85
    caption_dropout: float = 0.1
    snr_cap: float = 5.0
    least_weight: float = 0.15
    ema: float = 0.998
    seed: int = 0
    save_every: int = 40_000
    prompts: tuple[str, ...] = field(default=PROMPTS)

    @property
    def samples(self) -> int:
        return self.stages[-1].until


class CaptionEncoder:
    """The frozen text encoder with what it said of each caption kept, in float16 (30 KB a caption)."""

    def __init__(self, text_encoder: "CLIPTextModel") -> None:
        self.text_encoder = text_encoder.eval().requires_grad_(False)
        self.kept: dict[bytes, Tensor] = {}
        self.empty = tokenize([""])[0]

    @torch.no_grad()
    def __call__(self, tokens: Tensor) -> Tensor:
        """Ids (B, 77) to contexts (B, 77, width)."""
        keys = [row.numpy().tobytes() for row in tokens.short()]
        fresh = {key: row for key, row in zip(keys, tokens, strict=True) if key not in self.kept}
        if fresh:
            states = self.text_encoder(torch.stack(list(fresh.values())).long()).last_hidden_state.half()
            self.kept.update(zip(fresh, states, strict=True))
        return torch.stack([self.kept[key] for key in keys]).float()


def weights(alphas: Tensor, timestep: Tensor, settings: UnetSettings) -> Tensor:
    """(B,) loss weights of noise prediction."""
    ratio = snr(alphas[timestep])
    return (ratio.clamp(max=settings.snr_cap) / ratio).clamp(min=settings.least_weight)


def step_loss(
    unet: Any, encode: CaptionEncoder, latent: Tensor, tokens: Tensor, alphas: Tensor, settings: UnetSettings
) -> Tensor:
    """Weighted noise prediction error of a batch."""
    batch = len(latent)
    dropped = torch.rand(batch) < settings.caption_dropout
    context = encode(torch.where(dropped[:, None], encode.empty, tokens.long()))
    timestep = torch.randint(0, len(alphas), (batch,))
    noise = torch.randn_like(latent)
    noisy = add_noise(latent, noise, timestep, alphas)
    predicted = unet(noisy.to(memory_format=torch.channels_last), timestep, context).sample
    return (weights(alphas, timestep, settings) * (predicted - noise).square().mean((1, 2, 3))).mean()


@dataclass(frozen=True)
class UnetInputs:
    """Files that the training builds on: autoencoder, text encoder, and the model folder that a new run goes on from
    (None begins at random weights)."""

    vae: Path
    text: Path
    start: Path | None = None


def train_unet(folder: Path, inputs: UnetInputs, settings: UnetSettings, workers: int = 1) -> None:
    """Train, or go on training, the denoiser in a folder; ends with ``unet.safetensors`` of the average."""
    launch(workers, train_in_team, folder, inputs, settings)


def train_in_team(team: Team, folder: Path, inputs: UnetInputs, settings: UnetSettings) -> None:
    """:func:`train_unet` as one of a team; batches are counted over all of it."""
    vae, text_encoder = LabVAE(), build_text_encoder()
    vae.load_state_dict(load_tensors(inputs.vae)[0])
    text_encoder.load_state_dict(load_tensors(inputs.text)[0])
    encode = CaptionEncoder(text_encoder)
    torch.manual_seed(settings.seed)
    unet = build_unet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(unet.parameters(), lr=settings.learning_rate, weight_decay=0.01, fused=True)
    run = Run(folder, {"unet": unet}, optimiser, asdict(settings), settings.ema, team.leads)
    if inputs.start is not None and not run.begun:
        run.go_on_from({"unet": load_part(inputs.start, "unet")}, load_record(inputs.start)["unet"])
    torch.manual_seed(settings.seed + run.samples * team.size + team.rank)
    for stage in settings.stages:
        if run.samples < stage.until:
            if team.leads:
                draw_pools(folder, vae, stage)
            team.wait()
            pools = {pool: pool_scenes(folder, vae, pool) for pool, _ in stage.shares}
            encode.kept.clear()
            train_stage(run, stage, pools, encode, vae, settings, team)
    checkpoint(run, encode, vae, settings)


def draw_pools(folder: Path, vae: LabVAE, stage: Stage) -> None:
    """Draw the stage's scenes where the folder does not have them yet."""
    for pool, _ in stage.shares:
        pool_scenes(folder, vae, pool)


def pool_scenes(folder: Path, vae: LabVAE, pool: Pool) -> LatentScenes:
    """The pool's scenes, from its file in the run's folder or drawn now."""
    return cached_scenes(folder / f"scenes-{pool.name}.safetensors", vae, pool.count, pool.scenes, pool.first_seed)


def train_stage(
    run: Run,
    stage: Stage,
    pools: dict[Pool, LatentScenes],
    encode: CaptionEncoder,
    vae: LabVAE,
    settings: UnetSettings,
    team: Team,
) -> None:
    """Train until the stage's number of samples; every step takes one pool, so that its pictures share a size."""
    alphas = alphas_cumprod().float()
    unet = run.modules["unet"]
    odds = torch.tensor([share / pool.batch for pool, share in stage.shares])
    choice = torch.Generator().manual_seed(settings.seed + run.samples)  # the same pool for all of the team
    mean, steps = 0.0, 0
    while run.samples < stage.until:
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate(run.samples / settings.samples, steps, settings)
        pool = stage.shares[int(torch.multinomial(odds, 1, generator=choice))][0]
        scenes = pools[pool]
        picked = torch.randint(0, len(scenes.latents), (pool.batch,))
        loss = step_loss(unet, encode, scenes.latents[picked].float(), scenes.tokens[picked], alphas, settings)
        run.optimiser.zero_grad()
        loss.backward()
        team.share_gradients(unet.parameters())
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        run.optimiser.step()
        run.advance(pool.batch * team.size)
        steps += 1
        mean += loss.item() / 50
        if steps % 50 == 0:
            run.note(loss=mean)
            mean = 0.0
        if run.samples % settings.save_every < pool.batch * team.size:
            checkpoint(run, encode, vae, settings)


def rate(progress: float, steps: int, settings: UnetSettings) -> float:
    """Warm up over 100 steps, hold, then fall linearly to the final rate."""
    warm = min(1.0, (steps + 1) / 100)
    fall = max(0.0, progress - settings.decay_from) / (1 - settings.decay_from)
    return warm * (1 - fall * (1 - settings.final_rate))


@torch.no_grad()
def checkpoint(run: Run, encode: CaptionEncoder, vae: LabVAE, settings: UnetSettings) -> None:
    """Save the state and the average, and draw the fixed prompts with it."""
    if not run.leads:
        return
    unet = build_unet().eval()
    unet.load_state_dict(run.emas["unet"].shadow)
    save_tensors(run.folder / "unet.safetensors", unet.state_dict())
    run.save()
    stage = next((s for s in settings.stages if run.samples < s.until), settings.stages[-1])
    prompts, empty = (encode(ids) for ids in (tokenize(list(settings.prompts)), encode.empty[None]))
    backbone = backbone_of(ModelHandle(unet, alphas_cumprod(), "lab", latent_downscale=DOWNSCALE))
    height, width = (side // DOWNSCALE for side in stage.shares[-1][0].scenes.size)
    latents = [
        ddim(backbone, Conditioning(prompts), Conditioning(empty), (height, width), steps=20, guidance=3.5, seed=seed)
        for seed in (0, 1)
    ]
    sheets = [vae.decode(latent / SCALING_FACTOR) for latent in latents]
    save_sheet(run.folder / f"pictures-{run.samples:07d}.png", sheets)
