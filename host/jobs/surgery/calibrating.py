"""Localising a skill on pictures: the first choice by size, then a mask that is trained where gradients reach."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ....core.backbone import Backbone
from ....core.surgery.calibration import (
    LEAST_PICTURES,
    MOST_PICTURES,
    Calibrated,
    CalibrationSettings,
    Examples,
    calibrate,
    passes_of,
)
from ....core.surgery.localiser import Weights
from ....core.surgery.methods.dataless import DatalessSettings
from ....core.surgery.registry import METHODS
from ....core.surgery.skill import Skill
from ....core.surgery.sparse import SparseChange, in_rows, rows_of, size_of, together
from ...adapters import at_work, attention_places, backbone_of, weights_of, with_skill
from ...shared.weights.lazy_weights import LazyWeights
from .reports import base_fingerprint

Parts = tuple[Any, Any, Any]
"""MODEL, CLIP and VAE."""


@dataclass(frozen=True, eq=False)
class CalibratedSkill:
    """A skill, what its training found, and how many of its parameters were trained on."""

    skill: Skill
    found: Calibrated
    trained: int


def calibrated_skill(
    parts: Parts,
    tuned: tuple[Any, Any],
    pictures: Tensor,
    prompts: Sequence[str],
    share: float,
    settings: CalibrationSettings,
    seed: int,
    progress: Callable[[int, int], None],
) -> CalibratedSkill:
    """The skill of a fine-tune, by the pictures that show it.

    The projections of attention are trained on. Other weights that the fine-tune changed (convolutions, norms, text
    encoders) keep the first choice, which is in force while the others are trained.

    Args:
        parts: of the model.
        tuned: MODEL of the fine-tune, and its CLIP or None.
        pictures: (N, 3, H, W), 8 to 64.
        prompts: one for all pictures, or one for each.
        share: of the parameters that the first choice takes, in 0..1.
        settings: of the training.
        seed: of noise.
        progress: called with work done, of how much.

    Raises ``ValueError`` for too few or too many pictures, for prompts that are not as many, and if there is nothing
    to train.
    """
    check_pictures(len(pictures), len(prompts))
    model, clip, vae = parts
    backbone = backbone_of(model, clip, vae)
    base, changed = weights_of(model, clip if tuned[1] is not None else None), weights_of(*tuned)
    choices = _choices(backbone, attention_places(model), base, changed, share, settings.wider)
    other, read = with_skill(model, clip, replace(choices.first, changes=choices.fixed))
    with at_work(backbone_of(other, read, vae)) as trained:
        examples = _examples(trained, pictures, prompts, settings.side)
        counted = _counted(progress, passes_of(len(pictures), settings))
        found = calibrate(trained, choices.start, choices.wider, choices.whole, examples, settings, seed, counted)
    facts = {"method": "calibrated", "share": str(share)} | {key: str(value) for key, value in vars(settings).items()}
    facts |= {"pictures": str(len(pictures)), "brings": f"{found.after:.4f}"}
    skill = replace(choices.first, changes=choices.with_fixed(found.changes), metadata=facts)
    return CalibratedSkill(skill, found, choices.trainable)


@dataclass(frozen=True)
class _Place:
    """Where an attention projection lies: rows of a weight, by the name that skills have for it."""

    weight: str
    first: int
    rows: int


@dataclass(frozen=True, eq=False)
class _Choices:
    """Parameters chosen by size alone, which a training starts from.

    Attributes:
        first: the skill that they make.
        fixed: its changes outside the projections of attention.
        places: of these projections, by their names.
        start: its changes of those projections, by name.
        wider: the greater share of them that takes part in the training.
        whole: all that the fine-tune changes in them.
        trainable: how many parameters those projections hold.
        sizes: of the weights that they lie in.
    """

    first: Skill
    fixed: Mapping[str, SparseChange]
    places: Mapping[str, _Place]
    start: Mapping[str, SparseChange]
    wider: Mapping[str, SparseChange]
    whole: Mapping[str, SparseChange]
    trainable: int
    sizes: Mapping[str, tuple[int, int]]

    def with_fixed(self, chosen: Mapping[str, SparseChange]) -> dict[str, SparseChange]:
        """The fixed changes and those that a training chose, by the names of skills."""
        found = {name: [change] for name, change in self.fixed.items()}
        for name, change in chosen.items():
            place = self.places[name]
            found.setdefault(place.weight, []).append(in_rows(change, place.first, self.sizes[place.weight]))
        return {name: together(changes) for name, changes in found.items()}


def _choices(
    backbone: Backbone,
    elsewhere: Mapping[str, tuple[str, int]],
    base: Weights,
    changed: Weights,
    share: float,
    wider: float,
) -> _Choices:
    """Raises ``ValueError`` if the fine-tune changes no projection of attention."""
    mark = base_fingerprint(backbone)

    def chosen(part: float, before: Weights, after: Weights) -> Skill:
        how = DatalessSettings(part)
        return METHODS["dataless"].localise(before, after, backbone.family, how, fingerprint=mark)

    first = chosen(share, base, changed)
    places = {
        weight.name: _Place(*elsewhere.get(weight.name, (weight.name, 0)), weight.shape[0])
        for weight in backbone.attention_weights()
    }
    places = {name: place for name, place in places.items() if place.weight in first.sizes}
    before, after = _rows(base, places), _rows(changed, places)
    moved = [name for name in places if not torch.equal(before[name], after[name])]
    if not moved:
        raise ValueError(
            "the fine-tune changes no projection of attention, which are what pictures can teach; use Localize Skill"
        )
    count = sum(
        len(rows_of(first.changes[places[name].weight], places[name].first, places[name].rows))
        for name in moved
        if places[name].weight in first.changes
    )
    trainable = sum(before[name].numel() for name in moved)
    part = max(count / trainable, 1e-6)
    return _Choices(
        first,
        _outside(first, places.values()),
        places,
        chosen(part, before, after).changes if count else {},
        chosen(min(1.0, part * wider), before, after).changes,
        chosen(1.0, before, after).changes,
        trainable,
        {place.weight: size_of(base[place.weight]) for place in places.values()},
    )


def _rows(weights: Weights, places: Mapping[str, _Place]) -> Weights:
    """Attention projections by their own names."""

    def read(place: _Place) -> Tensor:
        return weights[place.weight][place.first : place.first + place.rows]

    return LazyWeights({name: partial(read, place) for name, place in places.items()})


def _outside(skill: Skill, places: Iterable[_Place]) -> dict[str, SparseChange]:
    """The changes of a skill that lie in no projection of attention."""
    left = dict(skill.changes)
    for place in places:
        change = left.get(place.weight)
        if change is not None:
            row = change.index // change.size[1]
            left[place.weight] = change.pick((row < place.first) | (row >= place.first + place.rows))
    return {name: change for name, change in left.items() if len(change)}


def _counted(progress: Callable[[int, int], None], total: int) -> Callable[[int], None]:
    """Reports passes as they are made, of this many in all."""
    done = 0

    def count(read: int) -> None:
        nonlocal done
        done += read
        progress(min(done, total), total)

    return count


def check_pictures(pictures: int, prompts: int) -> None:
    """Raise ``ValueError`` for numbers of pictures and prompts that a skill cannot be calibrated on."""
    if not LEAST_PICTURES <= pictures <= MOST_PICTURES:
        raise ValueError(f"a skill is calibrated on {LEAST_PICTURES} to {MOST_PICTURES} pictures, got {pictures}")
    if prompts not in (1, pictures):
        raise ValueError(f"expected one prompt, or one for each of the {pictures} pictures, got {prompts} lines")


def calibration_said(done: CalibratedSkill) -> str:
    """What the training did, in words."""
    found = done.found
    first, trained = found.counts
    of = (
        "what the fine-tune gains in denoising these pictures"
        if done.skill.metadata["goal"] == "pictures"
        else "the way from the model's predictions for these pictures to the fine-tune's"
    )
    return (
        f"Of {of}, the {first:,} parameters that changed most bring {found.before:.0%}, and the "
        f"{trained:,} chosen by training bring {found.after:.0%} (at noise not seen in training; "
        f"{done.trained:,} parameters lie in attention projections, the only ones trained)."
    )


@torch.no_grad()
def _examples(backbone: Backbone, pictures: Tensor, prompts: Sequence[str], side: int) -> Examples:
    latents = fitted_latents(backbone, pictures, side)
    texts = list(dict.fromkeys(prompts))
    which: Mapping[str, int] = {text: number for number, text in enumerate(texts)}
    each = list(prompts) * (len(pictures) if len(prompts) == 1 else 1)
    return Examples(latents, [backbone.encode_text([text]) for text in texts], [which[text] for text in each])


@torch.no_grad()
def fitted_latents(backbone: Backbone, pictures: Tensor, side: int) -> Tensor:
    """Latents (N, C, h, w) of pictures (N, 3, H, W) whose shorter side is made ``side`` pixels."""
    scale = side / min(pictures.shape[-2:])
    size = tuple(max(backbone.latent_downscale, round(length * scale)) for length in pictures.shape[-2:])
    fitting = interpolate(pictures, size, mode="bilinear", antialias=True).clamp(0, 1)
    return torch.cat([backbone.encode_image(one[None]).float() for one in fitting]).clone()
