"""Importance of ingredients for people: what is asked of which model, bars, curves and words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....core.backbone import Backbone
from ....core.explain.activations import Activations
from ....core.explain.bank import ACTIVE, ConceptBank
from ....core.explain.fidelity import ORDERS, Fidelity, measure_fidelity
from ....core.explain.importance.denoiser import denoiser_head
from ....core.explain.importance.head import Head, Question, linear_head
from ....core.explain.importance.method import Budget, Measure
from ....core.explain.importance.registry import MEASURES, best_measure, importances
from ....core.explain.labels import CLEARLY
from ....core.explain.probe import held_out, learnability, pooled, ridge
from ....core.explain.registry import encode
from ....core.explain.scores import PictureScores
from ....core.messages import counted, shown
from ....core.steps import OnStep
from ...pictures.charts import draw_bars, draw_curves
from ...pictures.drawing import side_by_side
from ...shared.progress import check_interrupt
from ..paired_texts import word_features
from ..vision import picture_features
from .encoder_head import encoder_head
from .ingredients import MOST_SHOWN, check_pictures, valid_for

BEST = "best"
"""The measure that fits the score."""

FIRM = 4.0
"""The probe's ridge, for each number of a position: with a weaker one, ingredients that always stand together get
importances of opposite signs."""

HARD = 0.75
"""AUROC of a probe below which an ingredient is hard to learn, where nothing is known of what it explains."""


@dataclass(frozen=True, eq=False)
class Models:
    """What the activations were recorded from: a CLIP_VISION, or MODEL, CLIP and VAE with their backbone; any may be
    None."""

    clip_vision: Any = None
    model: Any = None
    clip: Any = None
    vae: Any = None
    backbone: Backbone | None = None


@dataclass(frozen=True, eq=False)
class Importance:
    """What was measured.

    Attributes:
        scores: (P, K) signed importances.
        measure: how.
        head: of what.
        fidelity: whether they say what matters; None where it was not asked for.
        probe: AUROC of a linear probe on held-out pictures, where the score is one.
    """

    scores: PictureScores
    measure: Measure
    head: Head
    fidelity: Fidelity | None
    probe: float | None = None


def measure_importance(
    bank: ConceptBank,
    activations: Activations,
    pictures: Tensor,
    head: Head,
    measure: str = BEST,
    budget: Budget | None = None,
    check: bool = True,
    probe: float | None = None,
    on_step: OnStep | None = None,
) -> Importance:
    """How much each ingredient matters to a score of pictures (P, 3, H, W), and whether that can be relied on.

    Raises ``ValueError`` for activations of other ingredients or of other pictures, and for a measure that does not fit
    the score.
    """
    check_pictures(len(activations), pictures)
    question = Question(encode(bank, activations, check_interrupt), head)
    chosen = best_measure(question) if measure == BEST else MEASURES[measure]
    budget, parts = budget or Budget(), 2 if check else 1

    def step(part: int) -> OnStep:
        return lambda done, total: on_step(part * total + done, parts * total) if on_step else None

    found = importances(question, chosen, budget, step(0))
    fidelity = measure_fidelity(question, found, budget.seed, step(1)) if check else None
    scores = PictureScores(found, bank.names, f"importance for {head.title}, {chosen.title}", valid_for(bank))
    return Importance(scores, chosen, head, fidelity, probe)


def head_of(
    models: Models, activations: Activations, pictures: Tensor, text: str, seed: int, others: Activations | None
) -> tuple[Head, float | None]:
    """What is explained, and the AUROC of the probe where it is one.

    With activations of other pictures it is a linear probe that separates these from those. Otherwise it is a score of
    the model that the activations come from: for a text, or for the pictures as they are.

    Raises ``ValueError`` where the model that recorded the activations is not connected.
    """
    if others is not None:
        return _probe_head(activations, others)
    check_pictures(len(activations), pictures)
    if activations.origin.kind == "denoiser":
        missing = [name for name in ("model", "clip", "vae") if getattr(models, name) is None]
        if missing or models.backbone is None:
            raise ValueError(
                f"these activations are those of {activations.origin.title}; connect its MODEL, CLIP and VAE "
                f"({', '.join(missing).upper()} is missing), or other pictures' activations to others"
            )
        return denoiser_head(models.backbone, pictures, activations.origin, seed, text), None
    if models.clip_vision is None:
        raise ValueError(
            f"these activations are those of {activations.origin.title}; connect it as CLIP_VISION, or other pictures' "
            "activations to others"
        )
    if text and models.clip is None:
        raise ValueError(f"the text {shown(text)} needs the CLIP that was trained with this CLIP_VISION; connect it")
    features = None
    if text:
        width = picture_features(models.clip_vision, pictures[:1]).shape[1]
        features = word_features(models.clip_vision, models.clip, [text], width)
    return encoder_head(models.clip_vision, activations, pictures, text, features), None


def _probe_head(activations: Activations, others: Activations) -> tuple[Head, float]:
    rows = torch.cat([activations.rows.mean(1), others.rows.mean(1)])  # (P + Q, D)
    present = torch.arange(len(rows)) < len(activations)
    quality = held_out(rows, present)
    strength = FIRM * rows.shape[1]
    weights = ridge(rows, present, strength)
    return linear_head(activations.rows, weights, "telling these pictures from the others"), quality


def importance_chart(found: Importance) -> Tensor:
    """IMAGE (1, h, w, 3): a bar for each of the ingredients that matter most."""
    means = found.scores.means()
    chosen = [index for index in found.scores.ranked(MOST_SHOWN) if float(means[index]) != 0] or [0]
    names, values = [found.scores.names[index] for index in chosen], [float(means[index]) for index in chosen]
    return draw_bars(f"Importance for {found.head.title}", names, values)


def fidelity_chart(fidelity: Fidelity) -> Tensor:
    """IMAGE (1, h, w, 3): deletion and insertion, each by importance, by strength and at random."""
    sheets = []
    for title, across, curves in zip(
        ("Deletion: lower is better", "Insertion: higher is better"),
        ("ingredients taken out", "ingredients put in"),
        fidelity.curves(),
        strict=True,
    ):
        named = [(f"by {order}" if order != "random" else order, curves[i].tolist()) for i, order in enumerate(ORDERS)]
        sheets.append(draw_curves(title, f"0 to 100 % of {across}", named))
    return side_by_side(sheets)


def importance_report(found: Importance, bank: ConceptBank, activations: Activations) -> str:
    """What matters, whether that can be relied on, and what it is valid for.

    Args:
        activations: of all pictures, whether measured or not.
    """
    means, scores = found.scores.means(), found.scores
    matter = [index for index in scores.ranked() if float(means[index]) != 0]
    lines = [f"{scores.title}, the mean of {counted(len(scores), 'picture')}:"]
    lines += [f"{index + 1}  {scores.names[index]}: {float(means[index]):+.3f}" for index in matter[:MOST_SHOWN]]
    if len(matter) > MOST_SHOWN:
        lines.append(f"{len(matter) - MOST_SHOWN} more ingredients are not listed.")
    if found.probe is not None:
        lines.append(f"A linear probe separates pictures that it has not seen with an AUROC of {found.probe:.2f}.")
    if found.fidelity is not None:
        lines.append(verdict(found.fidelity))
    lines += learnable_line(found, bank, activations, matter[:MOST_SHOWN])
    return "\n".join([*lines, valid_for(bank)])


def learnable_line(
    found: Importance, bank: ConceptBank, activations: Activations, concepts: Sequence[int]
) -> list[str]:
    """Which concepts are harder to learn than what they explain; nothing where there are too few pictures."""
    codes = encode(bank, activations, check_interrupt)
    learnt = learnability(pooled(activations.rows), codes.scores()[:, list(concepts)] > ACTIVE).tolist()
    known = {index: value for index, value in zip(concepts, learnt, strict=True) if not math.isnan(value)}
    if not known:
        return []
    bar = HARD if found.probe is None else found.probe - CLEARLY
    hard = ", ".join(f"{bank.names[index]} {value:.2f}" for index, value in known.items() if value < bar) or "none"
    what = "Hard to learn" if found.probe is None else "Harder to learn than what they explain"
    return [
        f"{what} (a linear probe separates pictures with the ingredient from others by an AUROC below {bar:.2f}): "
        f"{hard}, of the {len(known)} ingredients that could be tried."
    ]


def verdict(fidelity: Fidelity) -> str:
    """Whether an order by importance can be relied on, in words and figures."""
    deletion, insertion = (area.tolist() for area in fidelity.areas())
    known = fidelity.mu[torch.isfinite(fidelity.mu)]
    mu = f", mu-fidelity {float(known.mean()):.2f}" if len(known) else ""
    random, strength = fidelity.better_than("random"), fidelity.better_than("strength")
    moved = float(fidelity.ways.abs().mean())
    said = "can be relied on" if random >= 0.75 else "is hardly better than random; do not rely on it"
    return (
        f"This order {said}: better than random in {random:.0%} of the pictures, than the order by strength in "
        f"{strength:.0%}. Deletion {deletion[0]:.2f} (random {deletion[2]:.2f}, strength {deletion[1]:.2f}), insertion "
        f"{insertion[0]:.2f} (random {insertion[2]:.2f}, strength {insertion[1]:.2f}){mu}. "
        f"All ingredients together move the score by {moved:.3f}."
    )
