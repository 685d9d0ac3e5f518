"""Train the autoencoder on crops around objects: the plain background teaches nothing, so it is mostly left out.

A share of the batches may be decoded from latents that were turned, mirrored or made smaller, and compared with the
picture changed in the same way (EQ-VAE, arXiv 2502.09509, eq. 6): such latents are easier to learn for a denoiser. That
is off by default: with half of the batches, 48 thousand crops from the same weights ended at 26.4 dB instead of 27.4.
"""

import logging
import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.files import save_tensors
from ..lab.model.vae import SCALING_FACTOR, LabVAE
from ..lab.model.weights import load_part
from ..lab.world.atlas import TRAINING_HAND, load_atlas
from ..lab.world.backgrounds import sample_background
from ..lab.world.scene import TINTS, Look, SceneSettings, compose, sample_scene
from .common import Run, cosine_rate, save_sheet, to_tensor
from .machine import CPU, Machine

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class VaeSettings:
    """``samples`` counts crops of ``crop`` pixels a side, and ``minutes`` ends the training earlier; ``pool`` crops are
    drawn once, seen in eight orientations; the average is measured on ``judged`` development scenes, at least 16.
    ``equivariance`` is the share of batches whose latents are changed; ``hands`` says how often each hand's drawings
    are seen."""

    samples: int = 120_000
    minutes: float | None = None
    batch: int = 32
    crop: int = 64
    pool: int = 24_000
    learning_rate: float = 1.5e-3
    kl: float = 1e-4
    gradient: float = 0.5
    seed: int = 0
    save_every: int = 16_000
    judged: int = 64
    equivariance: float = 0.0
    hands: tuple[tuple[str, float], ...] = ((TRAINING_HAND, 0.6), ("noto", 0.2), ("twemoji", 0.2))


SCALES = (1.0, 0.75, 0.5)
"""How much smaller latents and pictures are made together."""


def draw_crops(settings: VaeSettings) -> np.ndarray:
    """Crops (pool, crop, crop, 3) uint8 around objects of every split: the autoencoder may see all icons."""
    count, crop = settings.pool, settings.crop
    rng = random.Random(f"vae:{settings.seed}")
    atlas = load_atlas()
    hands, shares = zip(*settings.hands, strict=True)
    crops = np.empty((count, crop, crop, 3), dtype=np.uint8)
    world = SceneSettings(size=(2 * crop, 2 * crop), counts=(2,), gap=-0.1, sides=(0.36, 0.62))
    for start in range(0, count, 2):
        looks = [
            Look(
                kind.name,
                rng.choice(atlas.styles),
                rng.choice(list(TINTS)) if rng.random() < 0.15 else None,
                kind.name,
            )
            for kind in rng.sample(atlas.kinds, 2)
        ]
        background = sample_background(rng, 0.25)
        picture, objects = compose(rng, looks, background, world, rng.choices(hands, shares)[0])
        for offset, placed in enumerate(objects[: count - start]):
            top, left, height, width = placed.box
            y = min(max(top + height // 2 - crop // 2 + rng.randint(-12, 12), 0), crop)
            x = min(max(left + width // 2 - crop // 2 + rng.randint(-12, 12), 0), crop)
            crops[start + offset] = picture[y : y + crop, x : x + crop]
    return crops


def turn(crops: Tensor, rng: random.Random) -> Tensor:
    """One of the eight orientations of a square."""
    crops = torch.rot90(crops, rng.randrange(4), (2, 3))
    return crops.flip(3) if rng.random() < 0.5 else crops


def change(latent: Tensor, picture: Tensor, rng: random.Random) -> tuple[Tensor, Tensor]:
    """A latent (B, C, h, w) and its picture turned, mirrored and made smaller in the same way."""
    turns, mirrored, scale = rng.randrange(4), rng.random() < 0.5, rng.choice(SCALES)
    return orient(latent, turns, mirrored, scale), orient(picture, turns, mirrored, scale)


def orient(maps: Tensor, turns: int, mirrored: bool, scale: float) -> Tensor:
    """Maps (B, C, h, w) by so many quarter turns, mirrored, and smaller by bilinear interpolation of wide support."""
    maps = torch.rot90(maps, turns, (2, 3))
    maps = maps.flip(3) if mirrored else maps
    if scale == 1:
        return maps
    size = [round(side * scale) for side in maps.shape[2:]]
    return F.interpolate(maps, size, mode="bilinear", antialias=True, align_corners=False)


def edges(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return picture[..., 1:, :] - picture[..., :-1, :], picture[..., 1:] - picture[..., :-1]


def vae_loss(vae: LabVAE, target: Tensor, settings: VaeSettings, rng: random.Random) -> tuple[Tensor, Tensor, Tensor]:
    """L1 + MSE + weighted L1 of edges + weighted KL; returns the loss, the reconstruction and what it should be."""
    mean, logvar = vae.moments(target)
    latent = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
    if rng.random() < settings.equivariance:
        latent, target = change(latent, target, rng)
    picture = vae.decode(latent)
    difference = picture - target
    sharpness = torch.stack([(a - b).abs().mean() for a, b in zip(edges(picture), edges(target), strict=True)]).sum()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss = difference.abs().mean() + difference.square().mean() + settings.gradient * sharpness + settings.kl * kl
    return loss, picture, target


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in -1..1, averaged over pictures."""
    error = (a.clamp(-1, 1) - b).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def evaluate(
    vae: LabVAE, split: str, count: int, settings: SceneSettings | None = None
) -> tuple[float, Tensor, Tensor]:
    """PSNR of whole scenes of a split, with the pictures and their reconstructions, on the autoencoder's device."""
    scenes = [sample_scene(split, seed, settings) for seed in range(count)]
    pictures = to_tensor(np.stack([scene.picture for scene in scenes]), str(next(vae.parameters()).device))
    restored = torch.cat([vae.decode(vae.encode(batch)) for batch in pictures.split(16)])
    return psnr(restored, pictures), pictures, restored


@torch.no_grad()
def equivariance(vae: LabVAE, pictures: Tensor) -> dict[str, float]:
    """PSNR of pictures decoded from changed latents against the changed pictures: ``turned`` (mean over the seven
    other orientations) and ``smaller`` (half the side)."""
    latent = vae.encode(pictures)
    turned = [
        psnr(vae.decode(orient(latent, turns, mirrored, 1)), orient(pictures, turns, mirrored, 1))
        for turns in range(4)
        for mirrored in (False, True)
        if turns or mirrored
    ]
    smaller = psnr(vae.decode(orient(latent, 0, False, 0.5)), orient(pictures, 0, False, 0.5))
    return {"turned": sum(turned) / len(turned), "smaller": smaller}


def in_parts(settings: VaeSettings) -> list[VaeSettings]:
    """The settings' crops in parts of at most 250, for several processes to draw; each part has a seed of its own."""
    return [
        replace(settings, pool=min(250, settings.pool - start), seed=1_000_000 * settings.seed + start)
        for start in range(0, settings.pool, 250)
    ]


def draw_pool(settings: VaeSettings, machine: Machine) -> Iterable[np.ndarray]:
    """The settings' crops, by the machine's drawers where it has some."""
    return [draw_crops(settings)] if machine.drawers == 0 else machine.each(draw_crops, in_parts(settings))


def train_vae(
    folder: Path,
    settings: VaeSettings,
    start: Path | None = None,
    machine: Machine = CPU,
    crops: Iterable[np.ndarray] | None = None,
) -> None:
    """Train, or go on training, the autoencoder in a folder; ends with ``vae.safetensors`` of the average.

    Args:
        start: model folder whose autoencoder a new run begins with; None begins at random weights.
        crops: what :func:`draw_pool` gives, where somebody draws it already.
    """
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    vae = LabVAE()
    if start is not None:
        vae.load_state_dict(load_part(start, "vae"))
    vae.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation
    optimiser = torch.optim.AdamW(vae.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    run = Run(folder, {"vae": vae}, optimiser, {**asdict(settings), "model": vae.config}, ema_decay=0.998)
    log.info("drawing %d crops", settings.pool)
    drawn = draw_pool(settings, machine) if crops is None else crops
    pool = torch.from_numpy(np.concatenate(list(drawn))).to(machine.device)  # (pool, crop, crop, 3) uint8
    choose = torch.Generator().manual_seed(settings.seed + run.samples)
    steps = 0
    while (done := run.progress(settings.samples, settings.minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(done)
        picked = torch.randint(0, len(pool), (settings.batch,), generator=choose).to(machine.device)
        target = turn(pool[picked].permute(0, 3, 1, 2).float() / 127.5 - 1, rng)
        loss, picture, wanted = vae_loss(vae, target.to(memory_format=torch.channels_last), settings, rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        run.advance(settings.batch)
        steps += 1
        if steps % 100 == 0:
            run.note(loss=loss.item(), psnr_train=psnr(picture.detach(), wanted))
        if run.samples % settings.save_every < settings.batch:
            checkpoint(run, settings)
    checkpoint(run, settings)


def checkpoint(run: Run, settings: VaeSettings) -> None:
    """Save the state, measure the average on development scenes, write it with its scale folded in."""
    vae = LabVAE()
    vae.load_state_dict(run.average("vae"))
    vae.to(next(run.modules["vae"].parameters()).device)
    score, pictures, restored = evaluate(vae, "development", settings.judged)
    unseen, _, _ = evaluate(vae, "development", settings.judged // 2, SceneSettings(unseen=True))
    run.note(psnr=score, psnr_unseen=unseen, **equivariance(vae, pictures[:32]))
    with torch.no_grad():
        latents = torch.cat([vae.encode(batch) for batch in pictures.split(16)])
        vae.fold_scale(latents.std((0, 2, 3)))
        scaled = vae.encode(pictures) * SCALING_FACTOR
    run.note(latent_std=float(scaled.std()), latent_mean=float(scaled.mean()))
    save_tensors(run.folder / "vae.safetensors", vae.cpu().state_dict())
    save_sheet(run.folder / "pictures.png", [pictures[:8], restored[:8], pictures[8:16], restored[8:16]])
    run.save()
