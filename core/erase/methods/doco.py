"""DoCo: train the model until a discriminator cannot separate its predictions for a concept from those for the anchor.

Wu et al., "Unlearning Concepts in Diffusion Model via Concept Domain Correction and Concept Preserving Gradient", AAAI
2025, arXiv 2405.15304.

At noisy pictures x_t of the anchor a, the model as it was predicts clean latents x_0*(x_t, a), the members, and the
model under training predicts x_0(x_t, c) for the concept c. The discriminator D learns to separate them (members 0,
others 1), and the model learns ``- log(1 - D(x_0(x_t, c)))``. The concept preserving gradient takes out of every step
what goes against the loss of denoising these pictures by their own text,

    || e(x_t, a) - n ||^2 ,

whose direction alone counts (``surgery``). D is trained alone for the first steps, so that it can separate them.

Ours: the keeping loss also holds what the model predicted for preserved texts and the empty one; the last timesteps,
where clean latents are predicted out of next to nothing, are left out; pictures are drawn by the model, which the
release does beforehand; whole weights stand as low-rank changes; and these have no weight decay, where the release's
AdamW has 0.01.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ...learn.engine.task import Phase, Training
from ...learn.parts.adapter import Layers
from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.discriminator import Discriminator, membership
from ..parts.noised import Noised, NoisedVisit
from ..parts.pictures import pictures_of_task
from ..parts.rollouts import Visit
from ..parts.settings import SENTENCES, require
from ..parts.surgery import joined_loss
from ..parts.task import EraseTask, SoFar
from ..parts.trained_settings import LAYERS, TrainedSettings
from ..parts.training import Student, loss_notes, run


@dataclass(frozen=True)
class DocoSettings(TrainedSettings):
    """How to erase. Defaults are the release's for an object, with fewer pictures.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = setting(1000, "Training steps of the model for each concept.")
    rate: float = setting(4.8e-5, "Learning rate.")
    batch: int = setting(8, "Pictures that a step is trained on.")
    layers: Layers = setting("text", LAYERS)
    guidance: float = setting(7.5, "Guidance by which pictures are drawn.")
    retain: float = setting(
        1.0, "Weight of the loss that holds the anchor, preserved texts and the empty text, 0 or more."
    )
    surgery: float = setting(
        1.0, "Share of the erasing gradient that is taken out where it goes against the preserving one, 0..1."
    )
    warm_up: int = setting(1000, "Steps of the discriminator alone for each concept, before the model is trained.")
    discriminator_rate: float = setting(1e-4, "Learning rate of the discriminator. The paper takes 5e-4 for styles.")
    drawn: int = setting(32, "How many pictures of each anchor the model draws where you give none (paper: 1000).")
    latest: float = setting(0.9, "Share of the timesteps that are trained on, from the clean end, above 0 to 1.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.drawn > 0, "drawn", self.drawn, "1 or more")
        require(self.warm_up >= 0, "warm_up", self.warm_up, "0 or more")
        require(self.discriminator_rate > 0, "discriminator_rate", self.discriminator_rate, "above 0")
        require(0 < self.latest <= 1, "latest", self.latest, "above 0, up to 1")

    @property
    def cost(self) -> str:
        """What a training costs, for people."""
        return (
            f"for each concept: {self.steps} steps on {self.batch} picture{'s' * (self.batch > 1)}, each 2 to 4 passes "
            f"of both models and one back; {self.warm_up} steps of 2 passes before; {self.drawn} times "
            f"{self.sampling_steps} passes to draw the pictures of its anchor"
        )


def _edit(task: EraseTask[DocoSettings]) -> ModelEdit:
    settings = task.settings
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(task.training.seed)
        pictures = pictures_of_task(task, settings, settings.drawn, generator, anchors=True)
        visits = Noised(task, settings, pictures, settings.batch, generator, settings.latest)
        student = Student(task, generator, visits)
        _, channels, *sides = pictures.latents.shape
        rate, device = settings.discriminator_rate, pictures.latents.device
        discriminator = Discriminator(channels, min(sides), rate, generator, device)
        parameters = student.bank.parameters()

        def alone(step: int) -> Tensor:
            visit = visits.visit(step)
            both = student.original(visit, student.concepts(visit, anchors=True), student.concepts(visit))
            return discriminator.loss(*(_clean(student, visit, one) for one in both))

        def loss_of(step: int) -> Tensor:
            visit = visits.visit(step)
            members, others, keep = domains(student, visit)
            discriminator.train(members, others)
            erase = membership(discriminator.logits(others))
            return joined_loss(erase, keep, settings.retain, parameters, settings.surgery)

        phases = [Phase(parameters, loss_of, settings.loop(len(task.pairs)))]
        warm_up = settings.warm_up * len(task.pairs)
        if warm_up:
            phases.insert(0, Phase(discriminator.parameters, alone, discriminator.loop(warm_up)))
        training = Training(
            phases,
            tokens=dict,
            hidden=discriminator.state,
            restore=lambda updates, state: discriminator.restore(state),
        )
        losses = run(METHOD.name, task, training, generator, lambda: SoFar(student.bank.snapshot()))
    notes = {"rank": str(settings.rank), **loss_notes(losses[warm_up:])}
    return ModelEdit(student.bank.snapshot(), notes=notes)


def domains(student: Student, visit: NoisedVisit) -> tuple[Tensor, Tensor, Tensor]:
    """Clean latents (B, C, h, w) that the model as it was predicts for the anchor, and the one under training for the
    concept; and the keeping loss."""
    settings: DocoSettings = student.task.settings
    concepts, anchors = student.concepts(visit), student.concepts(visit, anchors=True)
    kept = [[""] * len(concepts), *student.preserved(visit)] if settings.retain else []
    was, *held = student.original(visit, anchors, *kept)
    now, *others = student.learnt(visit, concepts, *([anchors] if settings.retain else []), *kept)
    members, learnt = (_clean(student, visit, one) for one in (was, now))
    if not settings.retain:
        return members, learnt, torch.zeros((), device=now.device)
    anchored, *others = others
    # The pictures' own noise is the target for their text, what the model predicted is for the texts that are held.
    keep = mse_loss(anchored, visit.target) + mse_loss(torch.cat(others), torch.cat(held))
    return members, learnt, keep


def _clean(student: Student, visit: Visit, predicted: Tensor) -> Tensor:
    """The clean latents that a prediction stands for."""
    return student.task.backbone.schedule.clean_from_target(predicted, visit.latent, visit.timestep)


_SMALL = DocoSettings(
    templates=SENTENCES,
    steps=100,
    warm_up=40,
    rate=1e-3,
    batch=4,
    side=128,
    sampling_steps=12,
    guidance=3.5,
    discriminator_rate=1e-3,
    drawn=12,
    retain_batch=1,
)

METHOD = Eraser(
    name="doco",
    title="DoCo",
    help="Trains a change of how the model reads text until a discriminator cannot separate what the model predicts "
    "for each concept from what it predicts for its anchor, and takes out of every step what goes against "
    "preserved texts.",
    presets={
        "paper": DocoSettings(),
        "small": _SMALL,
        "small_transformer": _SMALL,
    },
    edit=_edit,
    trains=True,
    pictures_of="anchors",
    note="The paper trains whole weights, on 1000 pictures of the anchor; here low-rank changes, on 32.",
)
