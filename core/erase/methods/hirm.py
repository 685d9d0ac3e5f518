"""HiRM: mislead the last layer of the text encoder about a concept, by changing its first layer alone.

Lee, Kim and Hwang, "Localized Concept Erasure in Text-to-Image Diffusion Models via High-Level Representation
Misdirection", ICLR 2026, arXiv 2602.19631.

The states h_t (t counts the positions of the text) that the last layer's self-attention gives for a concept are drawn
to targets,

    L = 1/T sum_t || h_t - c s_t ||^2 ,

and only the projections and the feed-forward weights of the first layer follow. HiRM-R draws s_t at random and makes
it a unit vector; HiRM-S takes the states that the encoder as it was gives for a super-category, with c = 1. Here a
concept with an anchor is led to the states of its anchor (S), one without to random ones (R). Losses are relative to
the size of their targets, which changes no update of Adam while there is one loss alone.

Ours: position 0, the same in every text, may be left out; and a term holds what the denoiser reads of preserved texts
and of the empty one. Losses of several concepts are added, so that this term weighs against each as against one alone.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ...backbone import Backbone, TextWeight
from ...learn.engine.loop import LoopSettings, Optimisation
from ...settings import MOST_SEED, setting
from ..eraser import Eraser, ModelEdit
from ..parts.retain import Retained
from ..parts.settings import SENTENCES, EraseSettings, no_weight, require
from ..parts.task import EraseTask
from ..parts.text_bank import TextBank, last_layers, layer_of, start_text_bank

Target = Literal["random", "empty"]


@dataclass(frozen=True)
class HirmSettings(EraseSettings):
    """How to erase. Defaults are the paper's for an object without an anchor (HiRM-R).

    Raises ``ValueError`` for values outside their range.
    """

    steps: int = setting(
        25, "Training steps. The paper takes 25 for objects and 40 for styles, with anchors 15 and 30."
    )
    rate: float = setting(5e-5, "Learning rate.")
    without_anchor: Target = setting(
        "random",
        "Where a concept without an anchor is led: to random states (HiRM-R), or to the states of the empty text.",
    )
    norm: float = setting(500.0, "Length of the random state of a position (c).")
    skip_start: bool = setting(False, "Leave position 0 out of the loss: it is the same in every text.")
    retain: float = setting(0.0, "Weight of the loss that holds preserved texts and the empty text, 0 or more.")
    retain_batch: int = setting(16, "How many preserved texts a step reads.")
    seed: int = setting(42, "Random seed of the random states and of the order of texts.", least=0, most=MOST_SEED)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "retain_batch"):
            require(getattr(self, name) > 0, name, getattr(self, name), "1 or more")
        for name in ("rate", "norm"):
            require(getattr(self, name) > 0, name, getattr(self, name), "above 0")
        require(self.without_anchor in ("random", "empty"), "without_anchor", self.without_anchor, "random or empty")
        require(self.retain >= 0, "retain", self.retain, "0 or more")

    @property
    def cost(self) -> str:
        """What an edit costs, for people."""
        return f"{self.steps} passes of the text encoder, forwards and back; no pass of the denoiser"

    @property
    def preserve_note(self) -> str:
        return "" if self.retain else no_weight("retain")

    @property
    def loop(self) -> LoopSettings:
        """How to optimise: the paper's Adam, without clipping."""
        return LoopSettings(self.steps, self.rate, weight_decay=1e-8, clip_norm=float("inf"), betas=(0.9, 0.98))


def _edit(task: EraseTask[HirmSettings]) -> ModelEdit:
    with torch.inference_mode(False), torch.enable_grad():
        generator = torch.Generator().manual_seed(task.settings.seed)
        bank = start_text_bank(task.backbone, _first_layer)
        misled = _Misled(task, generator)
        kept = Retained.of(task, task.settings.retain_batch, generator) if task.settings.retain else None

        def loss_of(step: int) -> Tensor:
            loss = misled.loss(bank)
            return loss if kept is None else loss + task.settings.retain * kept.loss(bank)

        def after(step: int, loss: float) -> None:
            if task.on_step is not None:
                task.on_step(step, task.settings.steps)

        losses = Optimisation(bank.parameters(), task.settings.loop).run(loss_of, after)
    notes = {"loss_first": f"{float(losses[0]):.6g}", "loss_last": f"{float(losses[-1]):.6g}"}
    return ModelEdit(text=bank.snapshot(), notes=notes)


def _first_layer(weight: TextWeight) -> bool:
    return layer_of(weight) == 0


class _Misled:
    """The loss of one task: the states of every concept against their targets, in one sentence at a time."""

    def __init__(self, task: EraseTask[HirmSettings], generator: torch.Generator) -> None:
        self.task, self.generator = task, generator
        self.modules = {
            encoder: f"encoder.layers.{last}.self_attn.out_proj" for encoder, last in last_layers(task.backbone).items()
        }
        self.targets = [self._targets(template) for template in task.settings.templates]

    def loss(self, bank: TextBank) -> Tensor:
        """Sum over concepts and mean over encoders, relative to the size of the targets."""
        settings = self.task.settings
        which = int(torch.randint(len(settings.templates), (1,), generator=self.generator))
        texts = [settings.templates[which].replace("{}", concept) for concept, _ in self.task.pairs]
        first = 1 if settings.skip_start else 0
        losses = []
        with self.task.backbone.text_changed(bank.changes()):
            states = _states(self.task.backbone, texts, self.modules, self.task)
        for encoder, target in self.targets[which].items():
            found, wanted = states[encoder][:, first:], target[:, first:]  # (n, T, d)
            errors = (found - wanted).square().sum(-1).mean(1)  # (n,)
            losses.append((errors / wanted.square().sum(-1).mean(1)).sum())
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _targets(self, template: str) -> dict[str, Tensor]:
        """Encoder to the targets (n, T, d) of every concept in a sentence: its anchor's states, or random ones."""
        texts = [template.replace("{}", anchor) if anchor else "" for _, anchor in self.task.pairs]
        states = _states(self.task.backbone, texts, self.modules, self.task)
        return {encoder: self._random_where_unnamed(rows.float().clone()) for encoder, rows in states.items()}

    def _random_where_unnamed(self, rows: Tensor) -> Tensor:
        """One random matrix serves all concepts and sentences, as in the paper."""
        if self.task.settings.without_anchor == "empty":
            return rows
        generator = torch.Generator().manual_seed(self.task.settings.seed)
        drawn = torch.rand(rows.shape[1:], generator=generator).to(rows)  # (T, d)
        drawn = self.task.settings.norm * drawn / drawn.norm(dim=-1, keepdim=True)
        unnamed = torch.tensor([not anchor for _, anchor in self.task.pairs], device=rows.device)
        return torch.where(unnamed[:, None, None], drawn, rows)  # (n, T, d)


def _states(backbone: Backbone, texts: list[str], modules: dict[str, str], task: EraseTask[HirmSettings]) -> dict:
    """Encoder to what its module gives for texts, (n, T, d)."""
    with backbone.text_outputs(modules) as outputs:
        backbone.encode_text(texts, task.placeholders)
    return dict(outputs)


METHOD = Eraser(
    name="hirm",
    title="HiRM",
    help="Changes the first layer of the text encoder, so that its last layer mistakes each concept for its anchor, or "
    "for nothing in particular; takes seconds.",
    presets={
        "paper": HirmSettings(),
        "small": HirmSettings(
            templates=SENTENCES, steps=80, rate=1e-3, norm=30.0, skip_start=True, retain=30.0, retain_batch=8
        ),
    },
    edit=_edit,
    note="The model itself is not changed: connect the CLIP output. A concept that comes by another way than the text "
    "encoder (learnt pictures, another CLIP) is drawn as before.",
)
