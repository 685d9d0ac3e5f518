"""Attacking an erasure from end to end: who detects, what it costs, and what is shown of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ....core.attack.detector import Detector, Features, nearest_prototype
from ....core.attack.figures import Figure
from ....core.attack.parts.drawing import OnPasses, draw
from ....core.attack.parts.settings import AttackSettings
from ....core.attack.parts.task import AttackTask, seeds_of
from ....core.attack.registry import FIVE, SCENARIOS
from ....core.attack.run import Attack, Outcome
from ....core.backbone import Backbone, Placeholders
from ....core.erase.guards.guard import Guarding
from ....core.erase.registry import METHODS
from ...adapters import backbone_of, with_erasure
from ...pictures.drawing import colour_of
from ..contact_sheet import Caption, Row, contact_sheet
from .sole_guard import sole_guard

CHOICES: Mapping[str, Sequence[str]] = {
    "text": ("names", "synonyms", "sentences", "relatives"),
    "five": FIVE,
    "pictures": ("img2img", "inpainting", "noise"),
    "weights": ("sequence", "relearning"),
    "all": tuple(SCENARIOS),
}
"""What people choose to the scenarios that it stands for."""

OF_PROTOTYPES = 17
"""Added to the seed for pictures that the detector learns names from."""

FOUND, GONE = "found", "not found"


@dataclass(frozen=True, eq=False)
class FurtherErasures:
    """The erased model, from which further concepts are erased one after another by UCE.

    Attributes:
        model: the erased MODEL.
        clip: the CLIP that it is used with.
        vae: its VAE.
        preset: of UCE.
        placeholders: learnt tokens that the words may name.
    """

    model: Any
    clip: Any
    vae: Any
    preset: str
    placeholders: Placeholders | None = None

    def __call__(self, words: Sequence[str]) -> Backbone:
        model, eraser = self.model, METHODS["uce"]
        for word in words:
            backbone, settings = backbone_of(model, self.clip), eraser.preset(self.preset)
            erasure = eraser.erase(backbone, [word], settings=settings, placeholders=self.placeholders)
            model = with_erasure(model, erasure)
        return backbone_of(model, self.clip, self.vae)


def guard_of(model: Any) -> Guarding | None:
    """What guards the sampling runs of an erased MODEL, and of one that is erased from further; None for nothing.

    Raises ``ValueError`` for more than one guard.
    """
    guard = sole_guard(model, "erased_model")
    if guard is None:
        return None
    return lambda backbone: guard.begin(backbone, backbone if guard.original is None else backbone_of(guard.original))


def learning_names(names: Sequence[str], settings: AttackSettings) -> int:
    """Model passes that :class:`NamesByDrawing` takes, counted by pictures."""
    return 2 * settings.steps * settings.draws * len(names)


@dataclass(frozen=True, eq=False)
class NamesByDrawing:
    """A detector that knows names by the original model's pictures of them, which are drawn when it is first asked.

    They come from other noise than all that follows.

    Attributes:
        original: the model as it was.
        features: a picture encoder.
        concept: what is to be found.
        others: what it is compared with.
        settings: how to draw.
        seed: of the noise.
        on_passes: called with how many model passes ran.
        placeholders: learnt tokens that the names may be.
    """

    original: Backbone
    features: Features
    concept: str
    others: Sequence[str]
    settings: AttackSettings
    seed: int
    on_passes: OnPasses
    placeholders: Placeholders | None = None

    def found(self, pictures: Tensor) -> Tensor:
        return self._detector.found(pictures)

    @cached_property
    def _detector(self) -> Detector:
        count, seeds = self.settings.draws, seeds_of(self.seed + OF_PROTOTYPES, self.settings.draws)
        pictures = {}
        for name in (self.concept, *self.others):
            prompts = [self.settings.template.replace("{}", name)] * count
            pictures[name] = draw(self.original, prompts, seeds, self.settings, self.on_passes, self.placeholders)
        return nearest_prototype(self.features, pictures, self.concept)


def said_before(task: AttackTask, names: Sequence[str], total: int) -> str:
    """What people read before an attack of so many model passes begins."""
    counted = ", ".join(SCENARIOS[name].title for name in names if not SCENARIOS[name].lacks(task))
    return f"{total} model passes, counted by pictures, for: {counted}"


def described(attack: Attack) -> str:
    """A line for each scenario: what was found, and between what."""
    lines = [f"How often {attack.concept} is found with the erased model (floor: without it, ceiling: original model)"]
    lines += [f"{outcome.scenario.title}: {line_of(outcome)}" for outcome in attack.outcomes]
    lines += [f"{SCENARIOS[name].title}: left out, {why}" for name, why in attack.left_out.items()]
    return "\n".join(lines)


def line_of(outcome: Outcome) -> str:
    """The figures of a scenario in words."""
    figure = outcome.figure
    said = f"found {figure.found:.0%} (floor {figure.floor:.0%}, ceiling {figure.ceiling:.0%}), {figure.verdict}"
    return f"{said}; {curve_said(outcome)}" if outcome.attempt.curve else said


def curve_said(outcome: Outcome) -> str:
    """What a re-learning curve says."""
    steps = outcome.attempt.curve[-1][0]
    if outcome.steps_to_half is None:
        return f"fewer than half of the drawings show it even after {steps} training steps"
    return f"half of the drawings show it after {outcome.steps_to_half:.0f} of {steps} training steps"


def attack_rows(attack: Attack) -> list[Row]:
    """Two rows of pictures for each scenario: of the erased model, and of the original asked in the same way."""
    rows: list[Row] = []
    for number, outcome in enumerate(attack.outcomes):
        attempt, colour = outcome.attempt, colour_of(number)
        title = f"{outcome.scenario.title}   {line_of(outcome)}"
        source = None if attempt.sources is None else attempt.sources[0]
        first = "erased model" if source is None else "source"
        rows.append(Row(title, colour, source, attempt.erased, found_captions(outcome.found), first))
        same = [Caption(said) for said in attempt.asked]
        rows.append(Row("", colour, None, attempt.ceiling, same, "original model"))
    return rows


def found_captions(found: Tensor) -> list[Caption]:
    """Below each picture whether what was erased is found in it."""
    return [Caption(FOUND if one else GONE, one) for one in found.tolist()]


def attack_sheet(attack: Attack) -> Tensor:
    """IMAGE (1, h, w, 3)."""
    return contact_sheet(attack_rows(attack))


def figure_row(title: str, figure: Figure, verdict: str | None = None) -> dict[str, str | float | None]:
    """A figure as a row of tables and files."""
    return {
        "what": title,
        "erased model": round(figure.found, 4),
        "original model": round(figure.ceiling, 4),
        "floor": round(figure.floor, 4),
        "pictures": float(figure.pictures),
        "verdict": verdict or figure.verdict,
    }


def shown_pictures(pictures: Tensor | None, side: int) -> Tensor | None:
    """Pictures (P, 3, H, W) that people give, squeezed to the side that is drawn at; None stays None."""
    if pictures is None:
        return None
    resize = torch.nn.functional.interpolate
    return resize(pictures, (side, side), mode="bilinear", antialias=True).clamp(0, 1)
