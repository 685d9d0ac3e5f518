"""Training offsets of attention heads on a few pictures (LoFiT, Yin et al., NeurIPS 2024, arXiv 2406.01563).

First the heads are chosen: each gets a vector A_h that scales what it gives, z_h <- (1 + A_h) * z_h, trained with the
penalty lambda |A|_1, and those with the greatest A_h are kept. Then each of these gets an offset, z_h <- z_h + v_h, and
nothing else is trained. The paper ranks by the length of A_h; heads of UNets differ in their number of values, so that
the root mean square is taken here. The loss is that of denoising.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict

import torch

from ...backbone import Backbone
from ...erase.parts.saved import fingerprint
from ...learn.engine.checkpoints import CheckpointStore
from ...learn.engine.loop import LoopSettings
from ...learn.engine.task import Phase, Training
from ...learn.engine.training_run import TrainingRun
from ...messages import plain
from ...steps import OnStep
from ..skill import TEXT
from .denoising_loss import Captioned, OffsetLoss, scores_of
from .in_force import Where
from .offset_settings import OffsetSettings
from .offsets import HeadOffsets

SCALE = "root mean square of the trained scale"


def train_offsets(
    backbone: Backbone,
    concept: str,
    pictures: Captioned,
    settings: OffsetSettings,
    seed: int,
    where: Where = "denoiser",
    scouted: HeadOffsets | None = None,
    store: CheckpointStore | None = None,
    on_step: OnStep = lambda done, total: None,
) -> HeadOffsets:
    """Train offsets of a few heads. The same seed gives the same offsets; with a store, a training that was cancelled
    goes on from its last kept state.

    Args:
        backbone: the model; it is not changed.
        concept: what the offsets are called.
        pictures: that show the concept, with prompts that ask for it or not: the offsets act whatever the prompt is.
        settings: how.
        seed: of pictures, noise and starting values.
        where: whose heads.
        scouted: heads that are chosen already; its best are trained, and ``where`` is not looked at.
        store: keeps unfinished trainings.
        on_step: called after each update.

    Raises ``ValueError`` for a model without such heads and for heads of another model.
    """
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(seed % 2**63)
        loss = OffsetLoss(backbone, pictures, settings, generator, where if scouted is None else _where_of(scouted))
        sizes, device = loss.heads.sizes, pictures.latents.device
        chosen = None if scouted is None else scouted.best(settings.heads)
        if chosen is not None and any(name not in sizes for name, _ in chosen):
            raise ValueError("the heads were scouted on another model; scout those of this one")
        start = {
            name: (settings.start * torch.randn(size, generator=generator)).to(device) for name, size in sizes.items()
        }
        scales, offsets = ({name: values.clone().requires_grad_() for name, values in start.items()} for _ in range(2))
        phases = [Phase(list(offsets.values()), loss.of_offsets, settings_of(settings.steps, settings.rate))]
        if chosen is None:
            loop = settings_of(settings.choosing, settings.scale_rate)
            phases.insert(0, Phase(list(scales.values()), loss.of_scales, loop))
        loss.begin(scales, offsets, chosen)
        total = sum(phase.loop.steps for phase in phases)
        identity = _identity(backbone, concept, pictures, settings, seed, where, chosen) if store else ""
        run = TrainingRun(Training(phases, tokens=dict), generator, store, identity)
        run.resume()
        run.run(lambda: 0, lambda done, value: on_step(done, total))
        loss.choose()
        kept = {name: (values * loss.kept[name]).detach().cpu() for name, values in offsets.items()}
    if scouted is not None:
        scores = {name: scouted.scores[name] for name in kept if name in scouted.scores}
        return HeadOffsets(concept, {name: kept[name] for name in scores}, scores, backbone.family, scouted.unit)
    return HeadOffsets(concept, kept, scores_of(scales), backbone.family, SCALE)


def settings_of(steps: int, rate: float) -> LoopSettings:
    """Plain Adam: nothing pulls an offset to 0."""
    return LoopSettings(steps, rate, weight_decay=0.0)


def _where_of(scouted: HeadOffsets) -> Where:
    if not scouted.of_text:
        return "denoiser"
    return "text encoder" if all(name.startswith(TEXT) for name in scouted.offsets) else "both"


def _identity(
    backbone: Backbone,
    concept: str,
    pictures: Captioned,
    settings: OffsetSettings,
    seed: int,
    where: Where,
    chosen: Sequence[tuple[str, int]] | None,
) -> str:
    """Identifies what a state belongs to, 32 hexadecimal digits."""
    said = ["head offsets", plain(concept), list(pictures.prompts), asdict(settings), seed, where, chosen]
    digest = hashlib.sha256(json.dumps([*said, backbone.family]).encode())
    digest.update(fingerprint(backbone.key_value_weights()).encode())
    with torch.no_grad():
        texts = [backbone.encode_text([prompt]).context for prompt in dict.fromkeys(pictures.prompts)]
    for tensor in (*texts, pictures.latents):
        digest.update(str(tuple(tensor.shape)).encode() + tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]
