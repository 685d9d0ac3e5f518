"""Few-shot unlearning: a few pictures of a concept, and a text encoder that no longer leads to them.

Fuchi and Takagi, "Erasing Concepts from Text-to-Image Diffusion Models with Few-shot Unlearning", BMVC 2024, arXiv
2405.07288.

For latents x_0 of the pictures and a text of the concept c, the text encoder TE ascends the loss of denoising,

    L = - || e(x_t, t, TE(c)) - n ||^2 ,    x_t = add_noise(x_0, n, t) ,

through the frozen denoiser e. The feed-forward weights of every layer are trained, and the attention of the last one.
The loss has no bound, so that the moment matters: the authors keep a snapshot of every epoch.

Ours: a concept with an anchor a is led to what the model as it was predicts for the anchor,
``|| e(x_t, t, TE(c)) - e(x_t, t, TE_0(a)) ||^2``; a term holds preserved texts and the empty one; and a measure chooses
the snapshot, at which training ends. It is the share that is left of what the concept's text says of its pictures
beyond its anchor's text, or beyond the empty one,

    (E_0(a) - E(c)) / (E_0(a) - E_0(c)) ,

E being the error of denoising at a few fixed noises, E_0 that of the model as it was. Several concepts have a share
each: the greatest chooses the snapshot, and a concept whose own is small enough is trained no further, so that its loss
does not outgrow those of the others. Of the authors' 27 sentences four are read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ...learn.engine.loop import LoopSettings, draw_timesteps
from ...learn.engine.task import Phase, Training
from ...messages import plain
from ...sampling import encode_each
from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.noised import Noised
from ..parts.pictures import TaskPictures, pictures_of_task, sentence
from ..parts.retain import Retained
from ..parts.settings import SENTENCES, EraseSettings, no_weight, require
from ..parts.snapshots import Snapshots
from ..parts.task import EraseTask, SoFar
from ..parts.text_bank import WEIGHTS, TextBank, Weights, chosen_weights, start_text_bank
from ..parts.training import loss_notes, run

NOISES = 4
"""How many noises each picture is measured at, for the choice of a snapshot."""


@dataclass(frozen=True)
class FewShotSettings(EraseSettings):
    """How to erase. Defaults are the paper's for four pictures.

    Raises ``ValueError`` for values outside their range.
    """

    templates: tuple[str, ...] = setting(
        ("a photo of a {}", "a rendering of a {}", "a picture of the {}", "a good photo of a {}"),
        "Sentences with {} where the concept goes, drawn from at random.",
    )
    steps: int = setting(
        10, "Training steps for each concept, at most. The paper makes 5 passes over 4 pictures, two at a time."
    )
    rate: float = setting(1e-5, "Learning rate.")
    batch: int = setting(2, "How many pictures a step sees.")
    weights: Weights = setting(
        "mlp_and_last_attention",
        "Weights of the text encoders to change: mlp (the feed-forward weights of every layer), attention, "
        "mlp_and_last_attention, or all of both.",
    )
    rank: int = setting(
        0, "Rank of the change of each weight; 0 changes whole weights and biases, which takes more memory."
    )
    snapshot_every: int = setting(
        2,
        "Steps between two snapshots, of which one is taken; 0 takes the last step. Each measures all concepts.",
    )
    enough: float = setting(
        0.0,
        "Training ends at the first snapshot that leaves at most this share of what each concept's text says of its "
        "pictures. At 0 it says no more than no text does; below 0 it leads away from them.",
    )
    retain: float = setting(0.0, "Weight of the loss that holds preserved texts and the empty text, 0 or more.")
    retain_batch: int = setting(16, "How many preserved texts a step reads.")
    drawn: int = setting(4, "How many pictures of each concept the model draws where you give none.")
    side: int = setting(
        512, "Shorter side in pixels of pictures that are drawn; larger ones of yours are made smaller."
    )
    sampling_steps: int = setting(50, "Steps by which pictures are drawn.")
    guidance: float = setting(7.5, "Guidance by which pictures are drawn.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch", "retain_batch", "drawn", "side", "sampling_steps"):
            require(getattr(self, name) > 0, name, getattr(self, name), "1 or more")
        for name in ("rank", "snapshot_every", "retain"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        require(self.rate > 0, "rate", self.rate, "above 0")
        require(self.weights in WEIGHTS, "weights", self.weights, ", ".join(WEIGHTS))

    @property
    def cost(self) -> str:
        """What a training costs, for people."""
        return (
            f"for each concept: {self.steps} steps at most on {self.batch} picture{'s' * (self.batch > 1)}, each a "
            "pass of the text encoder and of the denoiser, forwards and back"
        )

    @property
    def preserve_note(self) -> str:
        return "" if self.retain else no_weight("retain")

    def loop(self, concepts: int) -> LoopSettings:
        """How to optimise: the paper's Adam, without clipping. Its epsilon is 1e-6 there and 1e-8 here."""
        return LoopSettings(
            self.steps * concepts, self.rate, weight_decay=1e-8, clip_norm=float("inf"), betas=(0.9, 0.98)
        )


def _edit(task: EraseTask[FewShotSettings]) -> ModelEdit:
    settings = task.settings
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(task.training.seed)
        bank = start_text_bank(task.backbone, chosen_weights(task.backbone, settings.weights), settings.rank, generator)
        ascent = Ascent(task, pictures_of_task(task, settings, settings.drawn, generator), generator)
        kept = Retained.of(task, settings.retain_batch, generator) if settings.retain else None
        parameters, loop = bank.parameters(), settings.loop(len(task.pairs))
        every = settings.snapshot_every or loop.steps
        snapshots = Snapshots(every, loop.steps, parameters, lambda: ascent.measure(bank), settings.enough)

        def loss_of(step: int) -> Tensor:
            loss = ascent.loss(bank)
            return loss if kept is None else loss + settings.retain * kept.loss(bank)

        def hidden() -> dict[str, Tensor]:
            one = len(task.pairs) == 1  # states of one concept are as they were before several had shares of their own
            return snapshots.state() if one else {**snapshots.state(), "trained": ascent.trained}

        def restore(updates: int, state: Mapping[str, Tensor]) -> None:
            trained = state.get("trained", ascent.trained)
            if not bool(trained.any()):
                raise ValueError("it trains none of its concepts")
            snapshots.restore(updates, state)
            ascent.trained = trained

        phases = [Phase(parameters, loss_of, loop, ended=snapshots.take)]
        training = Training(phases, tokens=dict, hidden=hidden, restore=restore)
        losses = run(METHOD.name, task, training, generator, lambda: SoFar(text=bank.snapshot()))
        snapshots.take(len(losses))
    return ModelEdit(
        text=bank.snapshot(snapshots.kept),
        notes={**({"rank": str(settings.rank)} if settings.rank else {}), **loss_notes(losses), **_table(snapshots)},
        remarks=(*_remarks(snapshots, loop.steps, len(task.pairs)), *ascent.unsaid()),
    )


class Ascent:
    """The loss of one task, and what its concepts' texts still say.

    Args:
        task: what to erase.
        pictures: of the concepts.
        generator: the random source.

    Attributes:
        trained: (N,) bool, which of the task's concepts are trained now.
    """

    def __init__(self, task: EraseTask[FewShotSettings], pictures: TaskPictures, generator: torch.Generator) -> None:
        self.task, self.pictures = task, pictures
        self.trained = torch.ones(len(task.pairs), dtype=torch.bool)
        self._noised = Noised(task, task.settings, pictures, task.settings.batch, generator)
        self._samples = self._draw_samples()
        with torch.no_grad():
            self._erased = self._errors(self._texts(anchors=False))
            self._anchored = self._errors(self._texts(anchors=True))

    def loss(self, bank: TextBank) -> Tensor:
        """Of a few pictures at random noises, in a sentence drawn at random; gradients reach the bank."""
        visit = self._noised.visit(0, self.trained.nonzero().flatten().tolist())
        pairs = [self.task.pairs[index] for index in visit.concepts.tolist()]
        texts, anchors = (self._noised.sentences(visit.template, [pair[side] for pair in pairs]) for side in (0, 1))
        with self.task.backbone.text_changed(bank.changes()):
            learnt = self._predict(visit.latent, visit.timestep, texts)
        named, target = [bool(anchor) for anchor in anchors], visit.target
        if any(named):
            with torch.no_grad():
                original = self._predict(visit.latent, visit.timestep, anchors)
            where = torch.tensor(named, device=learnt.device)[:, None, None, None]
            target = torch.where(where, original, target)
        errors = (learnt - target).square().flatten(1).mean(1)  # (B,)
        signs = torch.tensor([1.0 if one else -1.0 for one in named], device=errors.device)
        return (signs * errors).mean()

    def measure(self, bank: TextBank) -> float:
        """The greatest share of :meth:`left`; concepts that have more than enough left are trained from now on."""
        left = self.left(bank)
        wanted = left > self.task.settings.enough
        self.trained = wanted if wanted.any() else self.trained
        return float(left.max())

    @torch.no_grad()
    def left(self, bank: TextBank) -> Tensor:
        """(N,) the share that is left of what each concept's text says of its pictures; 1 before anything is
        trained."""
        with self.task.backbone.text_changed(bank.changes()):
            now = self._errors(self._texts(anchors=False))
        # With the size of what was said: it grows less as the error grows, also where the text said less than nothing.
        said = (self._anchored - self._erased).abs().clamp_min(1e-12)
        return (1 - (now - self._erased) / said).cpu()

    def unsaid(self) -> list[str]:
        """A remark on every concept whose text says no more of its pictures than its anchor's does."""
        said = (self._anchored - self._erased).tolist()
        return [
            f"The text of {plain(concept)} says no more of its pictures than {beside} does, so the measure says "
            "little of it: look at the pictures, or connect some that show it."
            for (concept, anchor), share in zip(self.task.pairs, said, strict=True)
            for beside in [f"that of {plain(anchor)}" if anchor else "no text"]
            if share <= 0
        ]

    def _draw_samples(self) -> list[tuple[int, Tensor, Tensor]]:
        """Picture, timestep (1,) and noise (1, C, h, w) of every sample, the same whatever is drawn beside."""
        generator, samples = torch.Generator().manual_seed(self.task.training.seed), []
        for row in range(len(self.pictures.concepts)):
            times = draw_timesteps(self.task.backbone.schedule.steps, (0.0, 1.0), NOISES, generator, even=True)
            for time in times:
                noise = torch.randn(self.pictures.latents[:1].shape, generator=generator)
                samples.append((row, time[None].to(self.pictures.latents.device), noise.to(self.pictures.latents)))
        return samples

    def _texts(self, anchors: bool) -> list[str]:
        """The text of every sample."""
        settings, which = self.task.settings, 1 if anchors else 0
        return [
            sentence(settings, turn % len(settings.templates), self.task.pairs[self.pictures.concepts[row]][which])
            for turn, (row, _, _) in enumerate(self._samples)
        ]

    def _errors(self, texts: list[str]) -> Tensor:
        """(N,) the mean error of denoising over all samples of each concept, one picture's at a time."""
        schedule, errors = self.task.backbone.schedule, []
        for first in range(0, len(texts), NOISES):
            rows, times, noises = zip(*self._samples[first : first + NOISES], strict=True)
            clean, noise, timestep = self.pictures.latents[list(rows)], torch.cat(noises), torch.cat(times)
            latent = schedule.add_noise(clean, noise, timestep)
            predicted = self._predict(latent, timestep, texts[first : first + NOISES])
            errors.append(mse_loss(predicted, schedule.target(clean, noise)))
        each, owners = torch.stack(errors), torch.tensor(self.pictures.concepts, device=errors[0].device)  # (P,)
        return torch.stack([each[owners == number].mean() for number in range(len(self.task.pairs))])

    def _predict(self, latent: Tensor, timestep: Tensor, texts: list[str]) -> Tensor:
        backbone = self.task.backbone
        return backbone.predict_target(latent, timestep, encode_each(backbone, texts, self.task.placeholders)).float()


def _table(snapshots: Snapshots) -> dict[str, str]:
    """Every snapshot's updates and what it leaves, and which was taken."""
    rows = [[at, round(left, 4)] for at, left in snapshots.measures]
    return {"snapshots": json.dumps(rows), "snapshot": str(snapshots.taken[0])}


def _remarks(snapshots: Snapshots, steps: int, concepts: int) -> tuple[str, ...]:
    at, left = snapshots.taken
    which = "the text" if concepts == 1 else "the text with most left"
    says = f"still says {left:.0%} of what it said about" if left > 0 else "no longer leads to"
    return (
        f"The snapshot after step {at} of at most {steps} was taken: {which} {says} its pictures (measure "
        f"{left:.2f}; 1 at first, below 0 it leads away from them).",
    )


_SMALL = FewShotSettings(
    templates=SENTENCES,
    steps=150,
    rate=1e-3,
    batch=4,
    snapshot_every=10,
    enough=-16.0,
    retain=20.0,
    retain_batch=8,
    side=128,
    sampling_steps=12,
    guidance=3.5,
)

METHOD = Eraser(
    name="few_shot",
    title="Few-shot unlearning",
    help="Trains the text encoder on a few pictures of each concept, so that its text no longer leads to them; takes "
    "under a minute for each concept on the lab model.",
    presets={
        "paper": FewShotSettings(),
        "small": _SMALL,
        "small_transformer": replace(_SMALL, enough=-8.0, retain=400.0),
    },
    edit=_edit,
    trains=True,
    pictures_of="concepts",
    note="The model itself is not changed: connect the CLIP output. A concept that comes by another way than the text "
    "encoder (learnt pictures, another CLIP) is drawn as before.",
)
