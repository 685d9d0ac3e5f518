"""Train the autoencoder on crops around objects: the plain background teaches nothing, so it is mostly left out."""

import logging
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.files import save_tensors
from ..model.vae import SCALING_FACTOR, LabVAE
from ..world.atlas import load_atlas
from ..world.backgrounds import sample_background
from ..world.scene import TINTS, SceneSettings, compose, sample_scene
from .common import Run, cosine_rate, save_sheet, to_tensor

log = logging.getLogger("concept_atelier.lab")


@dataclass(frozen=True)
class VaeSettings:
    """``samples`` counts crops of ``crop`` pixels a side; ``pool`` crops are drawn once, seen in eight orientations;
    the average is measured on ``judged`` development scenes, at least 16."""

    samples: int = 120_000
    batch: int = 32
    crop: int = 64
    pool: int = 24_000
    learning_rate: float = 1.5e-3
    kl: float = 1e-4
    gradient: float = 0.5
    seed: int = 0
    save_every: int = 16_000
    judged: int = 64


def draw_crops(count: int, crop: int, seed: int) -> np.ndarray:
    """Crops (count, crop, crop, 3) uint8 around objects of every split: the autoencoder may see all icons."""
    rng = random.Random(f"vae:{seed}")
    atlas = load_atlas()
    crops = np.empty((count, crop, crop, 3), dtype=np.uint8)
    settings = SceneSettings(size=(2 * crop, 2 * crop), counts=(2,), gap=-0.1)
    for start in range(0, count, 2):
        kinds = rng.sample(atlas.kinds, 2)
        styles = [rng.choice(atlas.styles) for _ in kinds]
        colours = [rng.choice(list(TINTS)) if rng.random() < 0.15 else None for _ in kinds]
        names = [kind.name for kind in kinds]
        background = sample_background(rng, 0.25)
        picture, objects = compose(rng, kinds, styles, colours, names, background, settings)
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


def edges(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, down and across."""
    return picture[..., 1:, :] - picture[..., :-1, :], picture[..., 1:] - picture[..., :-1]


def vae_loss(vae: LabVAE, target: Tensor, settings: VaeSettings) -> tuple[Tensor, Tensor]:
    """L1 + MSE + weighted L1 of edges + weighted KL; returns the loss and the reconstruction."""
    mean, logvar = vae.moments(target)
    picture = vae.decode(mean + (0.5 * logvar).exp() * torch.randn_like(mean))
    difference = picture - target
    sharpness = torch.stack([(a - b).abs().mean() for a, b in zip(edges(picture), edges(target), strict=True)]).sum()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss = difference.abs().mean() + difference.square().mean() + settings.gradient * sharpness + settings.kl * kl
    return loss, picture


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in -1..1, averaged over pictures."""
    error = (a.clamp(-1, 1) - b).square().flatten(1).mean(1)
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def evaluate(
    vae: LabVAE, split: str, count: int, settings: SceneSettings | None = None
) -> tuple[float, Tensor, Tensor]:
    """PSNR of whole scenes of a split, with the pictures and their reconstructions."""
    pictures = to_tensor(np.stack([sample_scene(split, seed, settings).picture for seed in range(count)]))
    restored = torch.cat([vae.decode(vae.encode(batch)) for batch in pictures.split(16)])
    return psnr(restored, pictures), pictures, restored


def train_vae(folder: Path, settings: VaeSettings) -> None:
    """Train, or go on training, the autoencoder in a folder; ends with ``vae.safetensors`` of the average."""
    torch.manual_seed(settings.seed)
    rng = random.Random(settings.seed)
    vae = LabVAE()
    vae.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's annotations
    optimiser = torch.optim.AdamW(vae.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    run = Run(folder, {"vae": vae}, optimiser, {**asdict(settings), "model": vae.config}, ema_decay=0.998)
    log.info("drawing %d crops", settings.pool)
    pool = draw_crops(settings.pool, settings.crop, settings.seed)
    choose = np.random.default_rng(settings.seed + run.samples)
    steps = 0
    while run.samples < settings.samples:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(run.samples / settings.samples)
        target = turn(to_tensor(pool[choose.integers(0, len(pool), settings.batch)]), rng)
        loss, picture = vae_loss(vae, target.to(memory_format=torch.channels_last), settings)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        run.advance(settings.batch)
        steps += 1
        if steps % 100 == 0:
            run.note(loss=float(loss), psnr_train=psnr(picture.detach(), target))
        if run.samples % settings.save_every < settings.batch:
            checkpoint(run, settings)
    checkpoint(run, settings)


def checkpoint(run: Run, settings: VaeSettings) -> None:
    """Save the state, measure the average on development scenes, write it with its scale folded in."""
    vae = LabVAE()
    vae.load_state_dict(run.emas["vae"].shadow)
    score, pictures, restored = evaluate(vae, "development", settings.judged)
    unseen, _, _ = evaluate(vae, "development", settings.judged // 2, SceneSettings(unseen=True))
    run.note(psnr=score, psnr_unseen=unseen)
    with torch.no_grad():
        latents = torch.cat([vae.encode(batch) for batch in pictures.split(16)])
        vae.fold_scale(latents.std((0, 2, 3)))
        scaled = vae.encode(pictures) * SCALING_FACTOR
    run.note(latent_std=float(scaled.std()), latent_mean=float(scaled.mean()))
    save_tensors(run.folder / "vae.safetensors", vae.state_dict())
    save_sheet(run.folder / "pictures.png", [pictures[:8], restored[:8], pictures[8:16], restored[8:16]])
    run.save()
