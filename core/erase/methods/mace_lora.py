"""MACE with its LoRAs: one for each concept takes the attention off it, and a closed form joins them all.

Lu et al., "MACE: Mass Concept Erasure in Diffusion Models", CVPR 2024, arXiv 2403.06135. Its first stage, W1, and its
third are those of :mod:`.mace`. The second trains for each concept a change of low rank of the keys and values of the
text. At pictures of the concept, noised at timesteps t that are drawn by

    xi(t) ~ sigmoid(sharpness (t - from_time)) - sigmoid(sharpness (t - to_time)) ,

its loss is the sum over layers of ``|| A[cells of the concept, its tokens and what follows the text] ||_F``, A being
the layer's attention. The third then solves for the weights that read the vectors x of every concept i as
``(W1 + D_i) x``, D_i being its change:

    W = (sum_i (W1 + D_i) X_i X_i^T + lambda W1 + kappa W0 S2) (sum_i X_i X_i^T + lambda I + kappa S2)^-1 .

Ours: where a concept is comes from the model's own attention and errors (:mod:`..guards.regions`) instead of a
segmenter. Where it is not found, as a style is not, the whole picture counts, as it does for the paper's styles.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...attention.resize import mask_on
from ...backbone import AttentionCall
from ...learn.engine.loop import LoopSettings
from ...learn.engine.task import Phase, Training
from ...learn.parts.adapter import Layers
from ...settings import setting
from ...types import LowRank
from ..eraser import Eraser, ModelEdit
from ..guards.guard import Guarded
from ..guards.regions import REGIONS, find_region
from ..parts.closed_form import outer_sum
from ..parts.gather import Steps
from ..parts.noised import Noised, NoisedVisit
from ..parts.pictures import TaskPictures, pictures_of_task
from ..parts.projections import changes, projections_of
from ..parts.settings import SENTENCES, Projections, no_weight, require
from ..parts.stacked import rank_notes, shortest, stacked
from ..parts.subject_places import subject_positions
from ..parts.task import EraseTask, SoFar
from ..parts.trained_settings import AdapterSettings
from ..parts.training import Student, loss_notes, run
from .mace import MaceSettings, Refined, fuse, refine


@dataclass(frozen=True)
class MaceLoraSettings(AdapterSettings):
    """How to erase. Defaults are the paper's for one object; its preserve list weighs as in its runs on celebrities.

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = setting(50, "Training steps for each concept.")
    rate: float = setting(1e-5, "Learning rate. The paper takes 1e-4 for people and styles.")
    rank: int = setting(1, "Rank of the change of each weight for each concept.")
    layers: Layers = setting(
        "cross_key_value", "Weights to change: cross_key_value or cross_value, keys and values of the text."
    )
    sampling_steps: int = setting(30, "Steps of the schedule by which pictures are drawn.")
    guidance: float = setting(7.5, "Guidance by which pictures are drawn.")
    drawn: int = setting(8, "How many pictures of each concept the model draws where you give none.", least=1)
    from_time: float = setting(
        0.2, "Share of the timesteps, from the clean end, about which training begins.", least=0, most=1
    )
    to_time: float = setting(0.4, "Share of the timesteps about which training ends.", least=0, most=1)
    sharpness: float = setting(50.0, "How sharply it begins and ends; 0 draws all timesteps alike.", least=0)
    whole: bool = setting(
        False, "Take the attention off a concept in the whole picture, as for styles, and not only where it is."
    )
    damping: float = setting(1e3, "Weight of staying near the original in both closed forms (lambda).", above=0)
    preserve_scale: float = setting(0.8, "Weight of the preserved concepts in both closed forms.", least=0)
    preserve_unconditional: bool = setting(
        False, "Also preserve every position of the empty prompt, which guidance reads."
    )
    refine: bool = setting(True, "Take the traces of a concept out of the words around it first.")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.layers in ("cross_key_value", "cross_value"), "layers", self.layers, "cross_key_value or cross_value"
        )
        require(self.from_time < self.to_time, "from_time", self.from_time, f"below to_time {self.to_time}")

    @property
    def cost(self) -> str:
        """What a training costs, for people."""
        return (
            f"for each concept: {self.steps} steps on {self.batch} picture{'s' * (self.batch > 1)}, each a pass and "
            f"one back, and {self.drawn} times {self.sampling_steps} passes to draw its pictures"
        )

    @property
    def preserve_note(self) -> str:
        return "" if self.preserve_scale else no_weight("preserve_scale")

    def loop(self, concepts: int) -> LoopSettings:
        """How to optimise for so many concepts: the paper's AdamW."""
        return LoopSettings(self.steps * concepts, self.rate, weight_decay=1e-2, clip_norm=1.0)

    @property
    def projections(self) -> Projections:
        """What the closed forms edit: no more than is trained."""
        return "both" if self.layers == "cross_key_value" else "value"

    @property
    def closed(self) -> MaceSettings:
        """Those of the first and the third stage."""
        shared = ("templates", "damping", "preserve_scale", "preserve_unconditional", "refine")
        return MaceSettings(combine="separate", **{name: getattr(self, name) for name in shared})


def _edit(task: EraseTask[MaceLoraSettings]) -> ModelEdit:
    settings, closed = task.settings, task.settings.closed
    check(task)
    before = EraseTask(task.backbone, task.pairs, task.preserve, closed, task.placeholders)
    stage = refine(before, Steps(before))
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(task.training.seed)
        pictures = pictures_of_task(task, settings, settings.drawn, generator)
        masks = masks_of(task, pictures, generator)
        base = (
            {}
            if stage.edit is None
            else changes(projections_of(task.backbone, len(stage.kept), settings.projections), stage.edit)
        )
        visits = [_visits(task, one, pictures, generator) for one in range(len(task.pairs))]
        students = [Student(task, generator, own, base) for own in visits]

        def phase(student: Student, own: Noised) -> Phase:
            def loss_of(step: int) -> Tensor:
                return attention_loss(student, own.visit(step), masks)

            return Phase(student.bank.parameters(), loss_of, settings.loop(concepts=1))

        def joined() -> dict[str, LowRank]:
            return fuse_trained(task, stage, [student.bank.snapshot() for student in students])

        training = Training(list(map(phase, students, visits)), tokens=dict)
        losses = run(METHOD.name, task, training, generator, lambda: SoFar(joined()), base)
    found = joined()
    notes = {**rank_notes(found, *(student.bank.factors for student in students)), **loss_notes(losses)}
    return ModelEdit(shortest(found), notes=notes)


def check(task: EraseTask[MaceLoraSettings]) -> None:
    """Raise ``ValueError`` for a model whose text enters otherwise than by keys and values of cross-attention."""
    names = [weight.name for weight in task.backbone.key_value_weights() if weight.role == "key"]
    if not names or not set(names) <= set(task.backbone.attention_tensors()):
        raise ValueError(
            f"MACE trains keys and values of cross-attention, which this model ({task.backbone.family}) does not have, "
            "or which are not trained there; choose another method"
        )


def _visits(
    task: EraseTask[MaceLoraSettings], concept: int, pictures: TaskPictures, generator: torch.Generator
) -> Noised:
    """Of one concept's pictures alone."""
    settings, own = task.settings, [row for row, number in enumerate(pictures.concepts) if number == concept]
    weights = importance(settings, task.backbone.schedule.steps)
    return Noised(task, settings, pictures, settings.batch, generator, weights=weights, rows=own)


def importance(settings: MaceLoraSettings, steps: int) -> Tensor:
    """How often each of so many timesteps is drawn (steps,), up to a factor: the paper's concept-focal sampling."""
    time = torch.arange(steps) / steps
    rise, fall = (torch.sigmoid(settings.sharpness * (time - at)) for at in (settings.from_time, settings.to_time))
    return rise - fall if settings.sharpness else torch.ones(steps)


@torch.no_grad()
def masks_of(task: EraseTask[MaceLoraSettings], pictures: TaskPictures, generator: torch.Generator) -> Tensor:
    """(N, h, w) bool: the cells of each picture in which its concept is, and all where it is not found."""
    masks = torch.ones_like(pictures.latents[:, 0], dtype=torch.bool)
    if task.settings.whole:
        return masks
    backbone, template = task.backbone, task.settings.templates[0]
    how = REGIONS["small" if min(masks.shape[1:]) < 32 else "paper"]
    nothing = backbone.encode_text([""])
    for row, number in enumerate(pictures.concepts):
        name = task.pairs[number][0]
        text = template.replace("{}", name)
        (places,) = subject_positions(partial(backbone.tokenize, placeholders=task.placeholders), name, template)
        read = backbone.encode_text([text], task.placeholders), backbone.tokenize(text, task.placeholders)
        concept = Guarded(name, *read, tuple(places), nothing)
        cells = find_region(backbone, concept, pictures.latents[row : row + 1], how, generator).cells  # (1, h, w)
        if cells.any():
            masks[row] = cells[0]
    return masks


def attention_loss(student: Student, visit: NoisedVisit, masks: Tensor) -> Tensor:
    """The sum over layers of the norm of what a visit's cells of the concept attend to its tokens and what follows the
    text; gradients reach the student's change."""
    task, texts = student.task, student.concepts(visit)
    concept, template = task.pairs[int(visit.concepts[0])][0], task.settings.templates[visit.template]
    read = task.backbone.tokenize(texts[0], task.placeholders)
    (own,) = subject_positions(partial(task.backbone.tokenize, placeholders=task.placeholders), concept, template)
    places = [*own, *range(read.end, read.length)]
    chosen, layers = masks[list(visit.rows)], list[Tensor]()

    def tap(call: AttentionCall) -> None:
        layers.append(attended(call, chosen, places))

    sites = [site for site in task.backbone.attention_sites() if site.kind == "cross"]
    with task.backbone.tap_attention(tap, sites):
        student.learnt(visit, texts)
    return torch.stack(layers).sum()


def attended(call: AttentionCall, masks: Tensor, places: Sequence[int]) -> Tensor:
    """``|| A[cells, places] ||_F`` of every head, mean over the B pictures of a call.

    Args:
        call: of B pictures.
        masks: (B, h, w) bool, the cells that count, on the latent's grid.
        places: positions of the text that count.
    """
    logits = call.query.float() @ call.key.float().mT * call.scale  # (B, heads, h*w, L)
    share = (logits if call.bias is None else logits + call.bias).softmax(-1)[..., list(places)]  # (B, heads, h*w, S)
    cells = torch.stack([(mask_on(mask, call.grid) > 0.5).flatten() for mask in masks])  # (B, h*w)
    squares = (share * cells[:, None, :, None].to(share)).square().flatten(1).sum(1)  # (B,)
    return (squares + 1e-12).sqrt().mean()


def fuse_trained(
    task: EraseTask[MaceLoraSettings], stage: Refined, trained: Sequence[Mapping[str, LowRank]]
) -> dict[str, LowRank]:
    """The third stage: changes that read every concept's vectors as its own trained change does.

    Args:
        task: what is erased.
        stage: the first.
        trained: of each of the task's concepts its change by weight name, on top of the first stage.
    """
    settings, closed = task.settings, task.settings.closed
    weights = projections_of(task.backbone, len(stage.kept), settings.projections)
    common = changes(weights, fuse(stage, [None] * len(stage.every), closed))
    inverse = torch.linalg.inv(stage.system(closed))  # (D, D), symmetric
    vectors = dict(zip(stage.concepts, stage.every, strict=True))
    own = []
    for (concept, _), change in zip(task.pairs, trained, strict=True):
        spread = (closed.erase_scale * outer_sum(vectors[concept]) @ inverse).float()  # (D, D)
        own.append({name: LowRank(part.up, part.down @ spread.to(part.down)) for name, part in change.items()})
    return stacked(common, *own)


METHOD = Eraser(
    name="mace_lora",
    title="MACE with its LoRAs",
    help="Takes the traces of a concept out of the words around it, trains for each concept a change that takes the "
    "attention off it, and joins these in closed form.",
    presets={
        "paper": MaceLoraSettings(templates=SENTENCES),
        "small": MaceLoraSettings(
            templates=SENTENCES,
            rate=3e-3,
            batch=2,
            side=128,
            sampling_steps=12,
            guidance=3.5,
            drawn=4,
            damping=0.5,
            preserve_scale=1.0,
            preserve_unconditional=True,
        ),
    },
    edit=_edit,
    trains=True,
    pictures_of="concepts",
    note="Where a concept is comes from the model itself instead of a segmenter, and fewer sentences are used than in "
    "the paper (5 of 30). Models without cross-attention to the text are refused.",
)
