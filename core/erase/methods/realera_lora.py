"""RealEra with its training: after the closed form, a low-rank change is trained to predict the anchor's noise.

Liu et al., "RealEra: Semantic-level Concept Erasure via Neighbor-Concept Mining", 2024, arXiv 2410.09140. Of the paper
only the scheme is public; its numbers are not, so those here were chosen on the lab model.

At noisy pictures z_t of the anchor a, with e* the model as it was and e the closed form and the change under training,
the concept's conditioning c is led to the anchor's prediction, and so is one that is drawn around it (:func:`.realera.
mine`, every row of the concept by itself); one that is drawn beyond, in the ring, keeps its own:

    L = || e(z_t, c + x) - e*(z_t, a) ||^2 + ring_scale || e(z_t, c + u) - e*(z_t, c + u) ||^2 ,

x being 0 for some of the pictures. Ours: the term that holds preserved texts and the empty one, ``|| e(z_t, p) -
e*(z_t, p) ||^2``.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ...backbone import Conditioning
from ...learn.parts.adapter import Layers
from ...settings import setting
from ..eraser import Eraser, ModelEdit
from ..parts.concept_vectors import TokenMode
from ..parts.noised import Noised
from ..parts.pictures import pictures_of_task
from ..parts.rollouts import Visit
from ..parts.settings import SENTENCES, require
from ..parts.stacked import rank_notes, shortest
from ..parts.subject_places import fill, subject_positions
from ..parts.task import EraseTask
from ..parts.trained_settings import LAYERS, TrainedSettings
from ..parts.training import Student, loss_notes, train
from .realera import METHOD as CLOSED_FORM
from .realera import mine

TRIES = 8
"""How many vectors are drawn around a row; the first that lies in the band is taken."""


@dataclass(frozen=True)
class RealeraLoraSettings(TrainedSettings):
    """How to erase. Raises ``ValueError`` for values outside their range."""

    steps: int = setting(300, "Training steps for each concept.")
    rank: int = setting(4, "Rank of the change of each weight.")
    layers: Layers = setting("text", LAYERS)
    guidance: float = setting(7.5, "Guidance by which pictures are drawn.")
    closed_form: Literal["paper", "small", "none"] = setting(
        "paper", "Preset of RealEra's closed form that the training begins from; none begins from the model as it was."
    )
    token_mode: TokenMode = setting(
        "last_subject",
        "Which rows of the encoded text are drawn around: the concept's last token, its tokens and all that follows "
        "them, padding included, or all rows.",
    )
    inside: float = setting(0.85, "Least cosine with a concept's row at which another lies inside, 0 to 1.")
    nearest: float = setting(0.995, "Greatest such cosine of a row that is drawn.")
    radius: float = setting(0.5, "How far rows inside are drawn, in lengths of the concept's row, above 0.")
    ring: float = setting(1.2, "How far those in the ring are drawn, in the same lengths, above radius.")
    around: float = setting(
        0.5, "Share of the pictures of which a text around the concept is read instead.", least=0, most=1
    )
    ring_scale: float = setting(0.5, "Weight of the loss that keeps texts in the ring, 0 draws none.", least=0)
    drawn: int = setting(8, "How many pictures of each anchor the model draws where you give none.", least=1)
    latest: float = setting(
        1.0, "Share of the timesteps that are trained on, from the clean end, above 0 to 1.", above=0, most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.inside < self.nearest <= 1, "inside", self.inside, f"from 0 to below nearest {self.nearest}")
        require(0 < self.radius < self.ring, "radius", self.radius, f"above 0 and below ring {self.ring}")

    @property
    def cost(self) -> str:
        """What a training costs, for people."""
        return (
            f"for each concept: {self.steps} steps on {self.batch} picture{'s' * (self.batch > 1)}, each 2 to 4 passes "
            f"of both models and one back; {self.drawn} times {self.sampling_steps} passes to draw the pictures of its "
            "anchor; before that the closed form, which takes none"
        )

    @property
    def preserve_note(self) -> str:
        if self.retain or self.closed_form == "none":
            return super().preserve_note
        return (
            "The training gave your preserve list no weight, because retain is 0: at most the closed form before it "
            "kept these words. Set retain above 0 to keep them in the training too."
        )


def _edit(task: EraseTask[RealeraLoraSettings]) -> ModelEdit:
    if task.backbone.encode_text([""]).one_text:
        raise ValueError(
            f"RealEra's training changes rows of the encoded text, and this model ({task.backbone.family}) also reads "
            "token ids, which cannot be changed; choose another method"
        )
    settings, closed = task.settings, _closed_form(task)

    def start(task: EraseTask[RealeraLoraSettings], generator: torch.Generator) -> Student:
        pictures = pictures_of_task(task, settings, settings.drawn, generator, anchors=True)
        visits = Noised(task, settings, pictures, settings.batch, generator, settings.latest)
        return Student(task, generator, visits, closed.factors)

    student, losses = train(METHOD.name, task, losses_of, start)
    changes = student.changes()
    notes = {**rank_notes(changes, student.bank.factors), **loss_notes(losses)}
    return ModelEdit(shortest(changes), notes=notes, remarks=closed.remarks)


def _closed_form(task: EraseTask[RealeraLoraSettings]) -> ModelEdit:
    """The edit that the training begins from, with this training's radii."""
    settings = task.settings
    if settings.closed_form == "none":
        return ModelEdit()
    radii = {name: getattr(settings, name) for name in ("inside", "nearest", "radius", "ring")}
    preset = replace(CLOSED_FORM.preset(settings.closed_form), seed=task.training.seed, **radii)
    return CLOSED_FORM.edit(EraseTask(task.backbone, task.pairs, task.preserve, preset, task.placeholders))


def losses_of(student: Student, visit: Visit) -> tuple[Tensor, Tensor]:
    """The loss of the concept, what lies around it and the ring; and the keeping loss."""
    settings: RealeraLoraSettings = student.task.settings
    concepts, anchors = student.concepts(visit), student.concepts(visit, anchors=True)
    inside = (settings.radius, (settings.inside, settings.nearest), 0.0)
    beyond = (settings.ring, (-1.0, settings.inside), settings.radius)
    chances = torch.rand(len(concepts), generator=student.generator)
    texts = [
        drawn_around(student, visit, row, *inside) if chance < settings.around else text
        for row, (text, chance) in enumerate(zip(concepts, chances.tolist(), strict=True))
    ]
    ring = [[drawn_around(student, visit, row, *beyond) for row in range(len(concepts))]] if settings.ring_scale else []
    kept = [[""] * len(concepts), *student.preserved(visit)] if settings.retain else []
    anchor, *held = student.original(visit, anchors, *ring, *kept)
    learnt, *now = student.learnt(visit, texts, *ring, *kept)
    erase = mse_loss(learnt, anchor)
    if ring:
        erase = erase + settings.ring_scale * mse_loss(now[0], held[0])
    now, held = now[len(ring) :], held[len(ring) :]
    return erase, mse_loss(torch.cat(now), torch.cat(held)) if now else torch.zeros_like(erase)


def drawn_around(
    student: Student, visit: Visit, row: int, radius: float, cosines: tuple[float, float], least: float
) -> Conditioning:
    """The conditioning of a visit's concept with the concept's rows drawn anew, each by itself, see :func:`.realera.
    mine`; a row around which nothing in the band was drawn stays."""
    task, settings = student.task, student.task.settings
    concept = task.pairs[int(visit.concepts[row])][0]
    read = student.texts.of(student.visits.sentences(visit.template, [concept])[0])
    template = settings.templates[visit.template]
    tokenize = partial(task.backbone.tokenize, placeholders=task.placeholders)
    own, spans = subject_positions(tokenize, concept, template), tokenize(fill(template, concept)).spans
    places = {
        "last_subject": [subject[-1] for subject in own],
        "from_subject_to_end": [
            place for subject, span in zip(own, spans, strict=True) for place in range(subject.start, span.stop)
        ],
        "all": range(read.context.shape[1]),
    }
    context = read.context.clone()  # (1, L, D)
    for place in places[settings.token_mode]:
        centre = read.context[0, place].double().cpu()
        found = mine(centre, TRIES, radius, cosines, student.generator, least)
        if len(found):
            context[0, place] = found[0].to(context)
    return Conditioning(context, read.extras)


_SMALL = RealeraLoraSettings(
    templates=SENTENCES,
    steps=60,
    rate=1e-3,
    batch=2,
    side=128,
    sampling_steps=12,
    guidance=3.5,
    closed_form="small",
    token_mode="from_subject_to_end",
    inside=0.95,
    nearest=0.999,
    retain=1.0,
    retain_batch=1,
)

METHOD = Eraser(
    name="realera_lora",
    title="RealEra with its LoRA",
    help="After RealEra's closed form it trains a change of how the model reads text, so that for each concept, and "
    "for texts around it, the model predicts what it predicted for the anchor.",
    presets={
        "paper": RealeraLoraSettings(templates=("{}", "a photo of the {}")),
        "small": _SMALL,
        "small_transformer": replace(_SMALL, retain=10.0, retain_batch=4),
    },
    edit=_edit,
    trains=True,
    pictures_of="anchors",
    note="The paper publishes no numbers for radii, weights and training: those here were chosen on the lab model.",
)
