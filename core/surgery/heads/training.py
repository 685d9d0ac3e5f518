"""Training offsets of attention heads on a few pictures (LoFiT, Yin et al., NeurIPS 2024, arXiv 2406.01563).

First the heads are chosen: each gets a vector A_h that scales what it gives, z_h <- (1 + A_h) * z_h, trained with the
penalty lambda |A|_1, and those with the greatest A_h are kept. Then each of these gets an offset, z_h <- z_h + v_h, and
nothing else is trained. The paper ranks by the length of A_h; heads of UNets differ in their number of values, so that
the root mean square is taken here. The loss is that of denoising.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from ...attention.probabilities import attend
from ...backbone import AttentionInputs, AttentionSite, Backbone, Conditioning
from ...erase.parts.saved import fingerprint
from ...learn.engine.checkpoints import CheckpointStore
from ...learn.engine.loop import LoopSettings, draw_timesteps
from ...learn.engine.task import Phase, Training
from ...learn.engine.training_run import TrainingRun
from ...messages import plain
from ...sampling import with_rows
from ...settings import Settings, setting
from ...types import FullChange
from ..skill import TEXT
from ..traces.reading import behind_heads, layers_read
from .offsets import HeadOffsets, projections_of

Where = Literal["denoiser", "text encoder", "both"]
OnStep = Callable[[int, int], None]
"""Called with how many updates are done, of how many; may raise, to stop."""

SCALE = "root mean square of the trained scale"


@dataclass(frozen=True)
class OffsetSettings(Settings):
    """How offsets are trained. Raises ``ValueError`` for values outside their range."""

    heads: int = setting(16, "Heads that get an offset.", least=1, most=4096)
    choosing: int = setting(200, "Steps that choose the heads; none where a scout has chosen.", least=1, most=20000)
    steps: int = setting(800, "Steps that train the offsets.", least=1, most=20000)
    rate: float = setting(1e-2, "Learning rate of the offsets.", above=0)
    scale_rate: float = setting(5e-3, "Learning rate of the scales that choose heads.", above=0)
    penalty: float = setting(5e-4, "Penalty on the size of these scales.", least=0)
    start: float = setting(1e-3, "Size of the random numbers that both start from.", least=0)
    batch: int = setting(4, "Pictures at noise levels that a step reads.", least=1, most=4096)
    side: int = setting(512, "Side of the pictures in pixels.", least=8)


PRESETS: Mapping[str, OffsetSettings] = {
    "paper": OffsetSettings(heads=32),
    "small": OffsetSettings(choosing=60, steps=240, rate=3e-2, side=128),
}


@dataclass(frozen=True, eq=False)
class Captioned:
    """Pictures with what each shows.

    Attributes:
        latents: (N, C, h, w).
        prompts: N of them.
    """

    latents: Tensor
    prompts: Sequence[str]


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
        lesson = _Lesson(backbone, pictures, settings, generator, where if scouted is None else _where_of(scouted))
        sizes, device = lesson.heads.sizes, pictures.latents.device
        chosen = None if scouted is None else scouted.best(settings.heads)
        if chosen is not None and any(name not in sizes for name, _ in chosen):
            raise ValueError("the heads were scouted on another model; scout those of this one")
        start = {
            name: (settings.start * torch.randn(size, generator=generator)).to(device) for name, size in sizes.items()
        }
        scales, offsets = ({name: values.clone().requires_grad_() for name, values in start.items()} for _ in range(2))
        phases = [Phase(list(offsets.values()), lesson.loss_of_offsets, settings_of(settings.steps, settings.rate))]
        if chosen is None:
            loop = settings_of(settings.choosing, settings.scale_rate)
            phases.insert(0, Phase(list(scales.values()), lesson.loss_of_scales, loop))
        lesson.begin(scales, offsets, chosen)
        total = sum(phase.loop.steps for phase in phases)
        identity = _identity(backbone, concept, pictures, settings, seed, where, chosen) if store else ""
        run = TrainingRun(Training(phases, tokens=dict), generator, store, identity)
        run.resume()
        run.run(lambda: 0, lambda done, loss: on_step(done, total))
        lesson.choose()
        kept = {name: (values * lesson.kept[name]).detach().cpu() for name, values in offsets.items()}
    if scouted is not None:
        scores = {name: scouted.scores[name] for name in kept if name in scouted.scores}
        return HeadOffsets(concept, {name: kept[name] for name in scores}, scores, backbone.family, scouted.unit)
    return HeadOffsets(concept, kept, _scores(scales), backbone.family, SCALE)


def settings_of(steps: int, rate: float) -> LoopSettings:
    """Plain Adam: nothing pulls an offset to 0."""
    return LoopSettings(steps, rate, weight_decay=0.0)


class _Heads:
    """The heads that may get offsets, and scales or offsets of them in force.

    Attributes:
        sizes: name of the projection behind them, as skills name it, to (heads, d).
        of_text: whether text encoders are among them.
    """

    def __init__(self, backbone: Backbone, where: Where, device: torch.device) -> None:
        self._backbone, self._device, self.sizes = backbone, device, dict[str, tuple[int, int]]()
        self._names: dict[str, str] = {}
        self._sites: list[AttentionSite] = []
        self._weights: dict[str, Tensor] = {}
        if where != "text encoder":
            self._names = projections_of(backbone)
            self._sites = [site for site in backbone.attention_sites() if site.name in self._names]
            widths = {weight.name: weight.shape[1] for weight in backbone.attention_weights()}
            for site in self._sites:
                name = self._names[site.name]
                self.sizes[name] = site.heads, widths[name] // site.heads
        self.of_text = where != "denoiser"
        if self.of_text:
            self._add_text()

    @torch.no_grad()
    def _add_text(self) -> None:
        read = layers_read(self._backbone)
        with self._backbone.text_layers() as layers:
            self._backbone.encode_text([""])
        weights = {f"{TEXT}{one.encoder}.{one.name}": one.weight for one in self._backbone.text_weights()}
        for encoder, count in read.items():
            for number in range(count):
                name = f"{TEXT}{encoder}.{behind_heads(number)}"
                heads, width = layers[encoder].heads[number].shape[2:]
                self.sizes[name] = int(heads), int(width)
                self._weights[name] = weights[name].detach().to(self._device, torch.float32).clone()

    @contextmanager
    def in_force(self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor]) -> Iterator[None]:
        """Within the context ``z <- (1 + scale) * z + offset`` for what the heads give; gradients reach both."""

        def edit(inputs: AttentionInputs) -> Tensor:
            call, name = inputs.call, self._names[inputs.call.site.name]
            given = attend(call.query, call.key, inputs.value, call.scale, call.bias)  # (B, heads, N, d)
            changed = given * (1 + scales[name][None, :, None]) if name in scales else given
            changed = changed + offsets[name][None, :, None] if name in offsets else changed
            return changed.to(given.dtype)

        with ExitStack() as changes:
            if self._weights:
                changes.enter_context(self._backbone.text_changed(self._text(scales, offsets)))
            if self._sites:
                changes.enter_context(self._backbone.edit_attention(edit, self._sites))
            yield

    def _text(self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor]) -> dict[str, dict[str, FullChange]]:
        """The same as changes of the projection behind the heads: ``W diag(scale)`` and, of its bias, ``W offset``."""
        found: dict[str, dict[str, FullChange]] = {}
        for name, weight in self._weights.items():
            encoder, _, inside = name.removeprefix(TEXT).partition(".")
            of = found.setdefault(encoder, {})
            if name in scales:
                of[inside] = FullChange(weight * scales[name].flatten())  # (d_out, d_in)
            if name in offsets:
                bias = f"{inside.removesuffix('.weight')}.bias"
                of[bias] = FullChange((weight @ offsets[name].flatten())[:, None])  # (d_out, 1)
        return found


class _Lesson:
    """The loss of denoising with scales or offsets of heads in force.

    Attributes:
        kept: name to (heads, 1), 1 where a head gets an offset.
    """

    def __init__(
        self,
        backbone: Backbone,
        pictures: Captioned,
        settings: OffsetSettings,
        generator: torch.Generator,
        where: Where,
    ) -> None:
        self.heads, self.kept = _Heads(backbone, where, pictures.latents.device), dict[str, Tensor]()
        self._backbone, self._settings, self._generator = backbone, settings, generator
        self._latents, self._prompts = pictures.latents.detach().clone(), list(pictures.prompts)
        self._texts: dict[str, Conditioning] = {}

    def begin(
        self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor], chosen: Sequence[tuple[str, int]] | None
    ) -> None:
        """What is trained; ``chosen`` heads where they are known."""
        self._scales, self._offsets = scales, offsets
        if chosen is not None:
            self._keep(chosen)

    def loss_of_scales(self, step: int) -> Tensor:
        """With its penalty."""
        size = torch.stack([scale.abs().sum() for scale in self._scales.values()]).sum()
        return self._loss(self._scales, {}) + self._settings.penalty * size

    def loss_of_offsets(self, step: int) -> Tensor:
        """Of the heads that were chosen."""
        self.choose()
        return self._loss({}, {name: values * self.kept[name] for name, values in self._offsets.items()})

    def choose(self) -> None:
        """Decide which heads get an offset: those with the greatest scales, unless a scout chose them."""
        if not self.kept:
            scores = {name: score.tolist() for name, score in _scores(self._scales).items()}
            ranked = sorted(((-score, name, at) for name, of in scores.items() for at, score in enumerate(of)))
            self._keep([(name, at) for _, name, at in ranked[: self._settings.heads]])

    def _keep(self, chosen: Sequence[tuple[str, int]]) -> None:
        self.kept = {name: torch.zeros(len(values), 1).to(values) for name, values in self._offsets.items()}
        for name, at in chosen:
            self.kept[name][at] = 1

    def _loss(self, scales: Mapping[str, Tensor], offsets: Mapping[str, Tensor]) -> Tensor:
        schedule, count = self._backbone.schedule, self._settings.batch
        rows = torch.randint(len(self._latents), (count,), generator=self._generator)
        times = draw_timesteps(schedule.steps, (0.0, 1.0), count, self._generator, even=True).to(self._latents.device)
        latents = self._latents[rows.to(self._latents.device)]  # (B, C, h, w)
        noise = torch.randn(latents.shape, generator=self._generator).to(latents)
        noisy, target = schedule.add_noise(latents, noise, times), schedule.target(latents, noise)
        errors, prompts = [], [self._prompts[row] for row in rows.tolist()]
        with self.heads.in_force(scales, offsets):
            for prompt in dict.fromkeys(prompts):
                at = [number for number, text in enumerate(prompts) if text == prompt]
                predicted = self._backbone.predict_target(noisy[at], times[at], with_rows(self._text(prompt), len(at)))
                errors.append((predicted.float() - target[at]).square().flatten(1).mean(1))  # (b,)
        return torch.cat(errors).mean()

    def _text(self, prompt: str) -> Conditioning:
        """Encoded once, unless heads of the text encoder are trained."""
        if self.heads.of_text:
            return self._backbone.encode_text([prompt])
        if prompt not in self._texts:
            with torch.no_grad():
                self._texts[prompt] = self._backbone.encode_text([prompt])
        return self._texts[prompt]


def _scores(scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name to (heads,), the root mean square of each head's scale."""
    return {name: scale.detach().square().mean(-1).sqrt().cpu() for name, scale in scales.items()}


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
