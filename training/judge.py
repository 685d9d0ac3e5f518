"""Train the judge: what every cell of a scene belongs to, on scenes as drawn and as the autoencoder gives them back."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.files import load_tensors, save_tensors
from ..host.files.saving import save_json
from ..lab.judge.counter import CounterNet
from ..lab.judge.judge import Judge, build_network
from ..lab.judge.network import JudgeNet
from ..lab.judge.scenes import IGNORED, JudgedScene, JudgedSettings, draw_judged
from ..lab.model.vae import LabVAE
from ..lab.model.weights import JUDGE_CONFIG, JUDGE_FILE
from ..lab.world.atlas import load_atlas
from .common import Run, State, cosine_rate, to_tensor
from .machine import CPU, Machine

log = logging.getLogger("concept_atelier.lab")

TRAINING_SEEDS, CALIBRATION_SEEDS = 0, 5_000_000
THRESHOLDS = tuple(i / 50 for i in range(5, 48))


@dataclass(frozen=True)
class JudgedShare:
    """``pool`` scenes of a kind, trained on in batches of ``batch``, and their ``share`` of all samples. Close-ups
    cost a quarter of whole scenes, and teach as well what things look like: their objects have as many pixels."""

    scenes: JudgedSettings
    pool: int
    batch: int
    share: float


@dataclass(frozen=True)
class JudgeSettings:
    """Of each kind of scenes a pool is drawn once, every second scene passed through the autoencoder; the threshold is
    calibrated on ``judged`` others of the last kind. Runs with another ``seed`` see other scenes."""

    samples: int = 260_000
    minutes: float | None = None
    learning_rate: float = 2e-3
    empty_weight: float = 0.1
    noise: float = 0.06
    seed: int = 1
    save_every: int = 16_000
    judged: int = 512
    scenes: tuple[JudgedShare, ...] = (
        JudgedShare(JudgedSettings(size=(64, 64), counts=(1,), sides=(0.55, 0.98), tinted=0.4), 24_000, 64, 0.75),
        JudgedShare(JudgedSettings(tinted=0.4), 9_000, 32, 0.25),
    )


@dataclass(frozen=True, eq=False)
class JudgedPool:
    """``pictures`` (N, 3, H, W) uint8, ``labels`` (N, 3, h, w) int16, ``middles`` (N, 2, h, w) float32, ``present``
    (N, K) bool."""

    pictures: Tensor
    labels: Tensor
    middles: Tensor
    present: Tensor


def train_judge(
    folder: Path,
    vae_file: Path,
    settings: JudgeSettings,
    start: Path | None = None,
    machine: Machine = CPU,
    drawn: Iterable[Iterable[list[JudgedScene]]] | None = None,
) -> None:
    """Train, or go on training, the judge in a folder; ends with ``judge.safetensors`` and ``config.json``.

    Args:
        start: model folder whose judge a new run begins with; None begins at random weights.
        drawn: what :func:`draw_some` makes of the tasks of each kind, where somebody draws it already.
    """
    vae = LabVAE()
    vae.load_state_dict(load_tensors(vae_file)[0])
    vae.to(machine.device)
    torch.manual_seed(settings.seed)
    network = build_network()
    if start is not None:
        network.load_state_dict(known_to(network, start))
    network.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotation
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    run = Run(folder, {"judge": network}, optimiser, asdict(settings), ema_decay=0.998)
    if run.progress(settings.samples, settings.minutes) < 1:
        log.info("drawing %d scenes", sum(kind.pool for kind in settings.scenes))
        drawn = drawn or [machine.each(draw_some, tasks) for tasks in tasks_of(settings)]
        train_on(run, [restore_half(vae, scenes, machine.device) for scenes in drawn], settings)
    finish(run, vae, settings, machine.device)


def known_to(network: JudgeNet, folder: Path) -> State:
    """What the judge of a model folder knows, for a network of a world with more objects or other styles: what it does
    not know keeps the network's own rows."""
    config = json.loads((folder / JUDGE_CONFIG).read_text(encoding="utf-8"))
    state = {key: value.float() for key, value in load_tensors(folder / JUDGE_FILE)[0].items()}
    kinds, styles, colours = network.splits
    known = len(config["names"]) + 1
    rows = [load_atlas().kind(name).row for name in config["names"]]
    pairs = list(zip([*rows, kinds - 1], range(known), strict=True))  # the last kind is nothing
    before = len(state["heads.weight"]) - known - colours
    if tuple(config.get("styles", ())) == load_atlas().styles:
        pairs += zip(range(kinds, kinds + styles), range(known, known + before), strict=True)
    pairs += zip(
        range(kinds + styles, kinds + styles + colours), range(known + before, known + before + colours), strict=True
    )
    target, source = torch.tensor(pairs).T
    heads = {key: value.detach().clone() for key, value in network.heads.state_dict(prefix="heads.").items()}
    for key, value in heads.items():
        value[target] = state[key][source]
    return state | heads


Task = tuple[int, int, JudgedSettings]
"""A first seed, a number of scenes and what they look like."""


def tasks_of(settings: JudgeSettings) -> list[list[Task]]:
    """The training scenes of each kind, in parts that :func:`draw_some` draws."""
    first = TRAINING_SEEDS + 10_000_000 * settings.seed
    return [in_parts(kind.pool, first + 1_000_000 * n, kind.scenes) for n, kind in enumerate(settings.scenes)]


def in_parts(count: int, first_seed: int, scenes: JudgedSettings) -> list[Task]:
    """So many scenes with seeds from ``first_seed`` on, at most 32 in a part."""
    return [(first_seed + start, min(32, count - start), scenes) for start in range(0, count, 32)]


def train_on(run: Run, pools: Sequence[JudgedPool], settings: JudgeSettings) -> None:
    """Train until the settings' number of samples, each step on one kind of scenes; on the device of the pools."""
    odds = torch.tensor([kind.share / kind.batch for kind in settings.scenes])
    generator = torch.Generator().manual_seed(settings.seed + run.samples)
    random = torch.Generator(pools[0].pictures.device).manual_seed(settings.seed + run.samples)
    steps = 0
    while (done := run.progress(settings.samples, settings.minutes)) < 1:
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * cosine_rate(done)
        number = int(torch.multinomial(odds, 1, generator=generator))
        pool, batch = pools[number], settings.scenes[number].batch
        picked = torch.randint(0, len(pool.pictures), (batch,), generator=random, device=random.device)
        pictures, labels = augment(scaled(pool.pictures[picked]), pool.labels[picked].long(), settings, random)
        loss = judge_loss(run.modules["judge"], pictures, labels, settings)
        run.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(run.modules["judge"].parameters(), 1.0)
        run.optimiser.step()
        run.advance(batch)
        steps += 1
        if steps % 50 == 0:
            run.note(loss=loss.item())
        if run.samples % settings.save_every < batch:
            run.save()


def judge_loss(network: torch.nn.Module, pictures: Tensor, labels: Tensor, settings: JudgeSettings) -> Tensor:
    """Cross-entropy of kinds over labelled cells (empty ones weigh less), of styles and colours over objects."""
    logits = network(pictures.to(memory_format=torch.channels_last))
    weight = logits.objects.new_ones(logits.objects.shape[1])
    weight[-1] = settings.empty_weight
    kinds = F.cross_entropy(logits.objects, labels[:, 0], weight, ignore_index=IGNORED)
    styles = F.cross_entropy(logits.styles, labels[:, 1], ignore_index=IGNORED)
    colours = F.cross_entropy(logits.colours, labels[:, 2], ignore_index=IGNORED)
    return kinds + 0.3 * styles + 0.3 * colours


def augment(
    pictures: Tensor, labels: Tensor, settings: JudgeSettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mirrored, shifted by up to half a cell, brighter or darker, softer, noisy."""

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=pictures.device)

    count = len(pictures)
    mirrored, down, right = random(3).tolist()
    if mirrored < 0.5:
        pictures, labels = pictures.flip(3), labels.flip(3)
    shifts = (int(9 * down) - 4, int(9 * right) - 4)
    pictures = torch.roll(F.pad(pictures, (4, 4, 4, 4), mode="replicate"), shifts, (2, 3))[..., 4:-4, 4:-4]
    gain = 1 + 0.16 * (random(count, 1, 1, 1) - 0.5)
    shift = 0.12 * (random(count, 1, 1, 1) - 0.5)
    soft = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    pictures = torch.lerp(pictures, soft, random(count, 1, 1, 1))
    grain = settings.noise * random(count, 1, 1, 1)
    noise = torch.randn(pictures.shape, generator=generator, device=pictures.device)
    return (pictures * gain + shift + grain * noise).clamp(-1, 1), labels


def scaled(pictures: Tensor) -> Tensor:
    """uint8 to -1..1."""
    return pictures.float() / 127.5 - 1


def draw_some(task: Task) -> list[JudgedScene]:
    """The scenes of a task."""
    first_seed, count, scenes = task
    return [draw_judged(first_seed + i, scenes) for i in range(count)]


@torch.no_grad()
def restore_half(vae: LabVAE, parts: Iterable[list[JudgedScene]], device: str) -> JudgedPool:
    """Scenes on the device of the autoencoder; every second one of a part as it gives it back."""
    pictures, labels, middles, present = [], [], [], []
    for drawn in parts:
        batch = to_tensor(np.stack([scene.picture for scene in drawn]), device)
        batch[1::2] = vae.decode(vae.encode(batch[1::2])).clamp(-1, 1)
        pictures.append(((batch + 1) * 127.5).round().byte())
        labels.append(torch.from_numpy(np.stack([scene.labels for scene in drawn])).to(device))
        middles.append(torch.from_numpy(np.stack([scene.middles for scene in drawn])).to(device))
        present.append(torch.stack([names_to_row(scene.names) for scene in drawn]))
    return JudgedPool(torch.cat(pictures), torch.cat(labels), torch.cat(middles), torch.cat(present))


def names_to_row(names: tuple[str, ...]) -> Tensor:
    """(K,) bool."""
    return torch.tensor([kind.name in names for kind in load_atlas().kinds])


def calibrate(network: JudgeNet, pool: JudgedPool) -> tuple[float, float]:
    """The threshold at which most scenes have exactly the right set of objects, and that share of scenes.

    Several thresholds may be equally good: the middle one is taken.
    """
    judge = Judge(network, tuple(kind.name for kind in load_atlas().kinds), 0.5, CounterNet())  # nothing is counted
    presence = judge.look(pool.pictures.cpu().float() / 255).presence()
    right = [float(((presence >= t) == pool.present).all(1).float().mean()) for t in THRESHOLDS]
    best = [t for t, share in zip(THRESHOLDS, right, strict=True) if share == max(right)]
    return best[len(best) // 2], max(right)


def finish(run: Run, vae: LabVAE, settings: JudgeSettings, device: str) -> None:
    """Save the state and the average, calibrate its threshold on scenes it never saw."""
    network = build_network().eval()
    network.load_state_dict(run.average("judge"))
    tasks = in_parts(settings.judged, CALIBRATION_SEEDS, settings.scenes[-1].scenes)
    held = restore_half(vae, [draw_some(task) for task in tasks], device)
    threshold, share = calibrate(network, held)
    run.note(threshold=threshold, exact_sets=share)
    save_tensors(run.folder / "judge.safetensors", network.state_dict())
    names = [kind.name for kind in load_atlas().kinds]
    config = {"names": names, "styles": load_atlas().styles, "threshold": threshold, "exact_sets": share}
    save_json(run.folder / "config.json", config)
    run.save()
