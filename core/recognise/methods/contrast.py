"""A linear contrast: the direction along which the subject's positions lie apart from all others.

Ridge regression from a position to the share of it that the mask covers. It is Fisher's linear discriminant with a
shrunken covariance, the whitening that few-shot prototypes gain from, in closed form. The moments are kept, so that
a corrected region changes the answer as if it had been there from the beginning.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...settings import setting
from ..subjects import Examples, Learnt, SubjectLearner, SubjectSettings, unit


@dataclass(frozen=True)
class ContrastSettings(SubjectSettings):
    """Settings of :data:`METHOD`."""

    ridge: float = setting(0.3, "How strongly weights are held down, as a share of the numbers' variance.", above=0)


def _learn(examples: Examples, settings: ContrastSettings, generator: torch.Generator) -> Learnt:
    rows = _with_one(examples.rows)
    moments = rows.T @ rows  # (D + 1, D + 1)
    held = torch.full((len(moments),), settings.ridge * len(rows))
    held[-1] = 0.0
    return _solved(moments + held.diag(), rows.T @ examples.shares)


def _correct(learnt: Learnt, further: Examples, settings: ContrastSettings) -> Learnt:
    rows = _with_one(further.rows)
    held = torch.full((rows.shape[1],), settings.ridge * len(rows))
    held[-1] = 0.0
    moments = learnt.extra["moments"] + rows.T @ rows + held.diag()
    return _solved(moments, learnt.extra["targets"] + rows.T @ further.shares)


def _with_one(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.ones(len(rows), 1)], 1)


def _solved(moments: Tensor, targets: Tensor) -> Learnt:
    weights = torch.linalg.solve(moments.double(), targets.double()).float()  # (D + 1,)
    extra = {"length": weights[:-1].norm().reshape(1), "bias": weights[-1:].clone()}
    return Learnt(unit(weights[:-1]), {**extra, "moments": moments, "targets": targets})


METHOD = SubjectLearner(
    name="contrast",
    title="Linear contrast",
    help="Finds the direction along which the subject differs most from the rest of its pictures, in closed form.",
    settings=ContrastSettings(),
    learn=_learn,
    correct=_correct,
)
