"""The record of a rule for parameters that several skills change, and stitching skills by it."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .skill import Skill, check_one_family
from .sparse import SparseChange


@dataclass(frozen=True, eq=False)
class OverlapRule:
    """What a stitched model gets where skills overlap.

    Attributes:
        name: its name in workflows and :data:`.registry.RULES`.
        title: its name for people.
        help: what it does, one sentence.
        merge: from values (k, n) float64 of k skills, 0 if one has none, and from which have one (k, n) bool, the
            values (n,).
    """

    name: str
    title: str
    help: str
    merge: Callable[[Tensor, Tensor], Tensor]


def stitch(skills: Sequence[Skill], strengths: Sequence[float], rule: OverlapRule) -> Skill:
    """Several skills as one (Localize-and-Stitch, arXiv 2408.13656): theta = theta_0 + sum_i gamma'_i * tau_i.

    Weights are merged one by one, so that never more than one weight of each skill is worked on.

    Args:
        skills: at least one, of one model; the first have priority.
        strengths: of each; a skill of strength 0 counts as not there.
        rule: for positions that several change.

    Raises ``ValueError`` for skills of two families, for weights of two sizes, and if none has a strength.
    """
    check_one_family(list(skills))
    active = [(skill, float(strength)) for skill, strength in zip(skills, strengths, strict=True) if strength]
    if not active:
        raise ValueError("every skill has the strength 0, so there is nothing to stitch")
    names = dict.fromkeys(name for skill, _ in active for name in skill.changes)
    changes = {name: _merged(name, active, rule) for name in names}
    sizes = {name: size for skill, _ in active for name, size in skill.sizes.items()}
    bases = list(dict.fromkeys(skill.base for skill, _ in active if skill.base))
    metadata = {
        "method": "stitch",
        "rule": rule.name,
        "strengths": json.dumps([strength for _, strength in active]),
        "of": json.dumps([dict(skill.metadata) for skill, _ in active]),
    }
    return Skill(changes, sizes, active[0][0].family, bases[0] if len(bases) == 1 else "", metadata)


def _merged(name: str, active: Iterable[tuple[Skill, float]], rule: OverlapRule) -> SparseChange:
    members = [(skill.changes[name], strength) for skill, strength in active if name in skill.changes]
    sizes = {change.size for change, _ in members}
    if len(sizes) > 1:
        raise ValueError(f"the skills change {name} of the sizes {sorted(sizes)}: they are of two models")
    index = torch.cat([change.index for change, _ in members]).unique()  # (n,) sorted
    values = torch.zeros(len(members), len(index), dtype=torch.float64)  # (k, n)
    present = torch.zeros(len(members), len(index), dtype=torch.bool)
    for number, (change, strength) in enumerate(members):
        at = torch.searchsorted(index, change.index)
        values[number, at] = change.values.double() * strength
        present[number, at] = True
    merged = rule.merge(values, present)
    wide = any(change.values.dtype == torch.float64 for change, _ in members)
    return SparseChange(index, merged if wide else merged.float(), sizes.pop())
