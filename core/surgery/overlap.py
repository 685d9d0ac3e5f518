"""How far two skills change the same parameters, and whether they pull the same way.

With p_A,l and p_B,l the shares of weight l that two skills change and n_l its parameters, independent masks meet
at sum_l p_A,l p_B,l n_l parameters by chance. Counted weight by weight, so that two LoRAs of the same layers do not
seem to agree only because both leave the rest alone.

Whether two changes D_A and D_B of a weight disturb each other's outputs depends on the inputs they respond to: two
LoRAs can change every parameter of a weight and never meet, because their words differ. Ours:

    same inputs = |D_A D_B^T| / sqrt(|D_A D_A^T| |D_B D_B^T|)   (Frobenius norms, squares summed over weights)

is 1 for the same inputs and 0 for orthogonal ones, and is estimated with random signs z: |M|^2 = E |M z|^2.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .skill import TEXT, Skill, check_one_family
from .sparse import SparseChange, shared_positions

PROBES = 64
SAME = 0.5
"""Share of the inputs that two skills have in common; at this share or more they respond to the same ones."""
FIGHT, AGREE = 0.1, 0.02
"""Shares of the smaller skill's size that lie under an opposite change: the first or more is a conflict, less than the
second is none."""
MAX_BLOCKS = 16
_NUMBERED = re.compile(r"^((?:[a-z_]+_)?blocks|layers)\.(\d+)")


@dataclass(frozen=True)
class Overlap:
    """Two skills compared.

    Attributes:
        names: of the two skills.
        counts: how many parameters each changes.
        shared: how many both change.
        expected: how many they would share by chance.
        opposite: of the shared, how many they change with opposite signs.
        cosine: of both changes over all weights.
        conflict: share of the smaller skill's summed size that lies under an opposite change of the other.
        same_inputs: how far both respond to the same inputs of their weights, 0..1.
    """

    names: tuple[str, str]
    counts: tuple[int, int]
    shared: int
    expected: float
    opposite: int
    cosine: float
    conflict: float
    same_inputs: float

    @property
    def inside(self) -> float:
        """Share of the smaller skill that the other one changes too."""
        return self.shared / max(1, min(self.counts))

    @property
    def chance(self) -> float:
        """What :attr:`inside` would be by chance."""
        return self.expected / max(1, min(self.counts))

    @property
    def opposite_share(self) -> float:
        """Share of the shared parameters with opposite signs; by chance a half."""
        return self.opposite / self.shared if self.shared else 0.0

    @property
    def touches(self) -> bool:
        """Whether they meet, for the same inputs, and yet do not fight."""
        return self.conflict >= AGREE and self.same_inputs >= SAME and not self.fights

    @property
    def fights(self) -> bool:
        """Whether they will disturb each other: much of the smaller meets an opposite change, for the same inputs."""
        return self.conflict >= FIGHT and self.same_inputs >= SAME

    @property
    def verdict(self) -> str:
        """Whether they will disturb each other, in a few words."""
        if self.conflict < AGREE:
            return "they hardly touch"
        if self.same_inputs < SAME:
            return "no fight, since they respond to different inputs"
        return "they will fight" if self.fights else "they touch a little"

    @property
    def advice(self) -> str:
        """What to do with both."""
        if self.fights:
            return (
                "Added up, one or both will lose. Use one at a time, or choose priority in Stitch Skills: if both "
                "change a parameter, the first skill keeps its own change."
            )
        added = "Use both as they are: one LoRA loader after the other, or sum in Stitch Skills."
        return f"{added} Look for what is lost." if self.touches else added


def compare(names: Sequence[str], skills: Sequence[Skill]) -> list[Overlap]:
    """Every pair of skills. Raises ``ValueError`` for skills of two families and weights of two sizes."""
    check_one_family(list(skills))
    pairs = [(i, j) for i in range(len(skills)) for j in range(i + 1, len(skills))]
    return [_overlap((names[i], names[j]), skills[i], skills[j]) for i, j in pairs]


def _overlap(names: tuple[str, str], one: Skill, other: Skill) -> Overlap:
    shared = opposite = 0
    expected = dot = 0.0
    under = [0.0, 0.0]
    for name in one.changes.keys() & other.changes.keys():
        a, b = one.changes[name], other.changes[name]
        at_a, at_b = shared_positions(a, b)
        first, second = a.values[at_a].double(), b.values[at_b].double()
        against = first * second < 0
        shared += len(first)
        opposite += int(against.sum())
        expected += len(a) * len(b) / (a.size[0] * a.size[1])
        dot += float(first @ second)
        under = [under[0] + float(first[against].abs().sum()), under[1] + float(second[against].abs().sum())]
    masses = [_mass(one, 1), _mass(other, 1)]
    norms = (_mass(one, 2) * _mass(other, 2)) ** 0.5
    smaller = 0 if masses[0] <= masses[1] else 1
    counts = len(one), len(other)
    conflict = under[smaller] / max(masses[smaller], 1e-30)
    return Overlap(
        names, counts, shared, expected, opposite, dot / max(norms, 1e-30), conflict, _same_inputs(one, other)
    )


def _same_inputs(one: Skill, other: Skill) -> float:
    """How far two skills respond to the same inputs, 0..1."""
    sums = [0.0, 0.0, 0.0]
    for name in one.changes.keys() | other.changes.keys():
        a, b = (_matrix(skill.changes[name]) if name in skill.changes else None for skill in (one, other))
        for number, (left, right) in enumerate(((a, b), (a, a), (b, b))):
            if left is not None and right is not None:
                signs = torch.randint(2, (left.shape[0], PROBES), generator=torch.Generator().manual_seed(0))
                sums[number] += float((left @ (right.T @ (2.0 * signs.double() - 1))).square().sum())
    return min(1.0, (sums[0] / max((sums[1] * sums[2]) ** 0.5, 1e-300)) ** 0.5)


def _matrix(change: SparseChange) -> Tensor:
    """(d_out, d_in), sparse."""
    index, width = change.index.long(), change.size[1]
    places = torch.stack([index // width, index % width])  # (2, n)
    return torch.sparse_coo_tensor(places, change.values.double(), change.size, check_invariants=False)


def _mass(skill: Skill, power: int) -> float:
    return sum(float(change.values.double().abs().pow(power).sum()) for change in skill.changes.values())


def densities(skills: Sequence[Skill]) -> dict[str, list[float]]:
    """Block to the share of its parameters that each skill changes, of weights that any of the fine-tunes changed."""
    sizes = {name: size for skill in skills for name, size in skill.sizes.items()}
    blocks = blocks_of(sizes)
    numbers: dict[str, int] = {}
    changed: dict[str, list[int]] = {}
    for name, size in sizes.items():
        numbers[blocks[name]] = numbers.get(blocks[name], 0) + size
        counts = changed.setdefault(blocks[name], [0] * len(skills))
        for number, skill in enumerate(skills):
            counts[number] += len(skill.changes[name]) if name in skill.changes else 0
    return {block: [count / numbers[block] for count in changed[block]] for block in sorted(numbers)}


def blocks_of(names: Iterable[str]) -> dict[str, str]:
    """Weight name to the block it lies in, at most :data:`MAX_BLOCKS` of them."""
    fine = {name: _block(name) for name in names}
    if len(set(fine.values())) <= MAX_BLOCKS:
        return fine
    return {name: block.split(".")[0] for name, block in fine.items()}


def _block(name: str) -> str:
    if name.startswith(TEXT):
        return name.removeprefix(TEXT).split(".")[0]
    found = _NUMBERED.match(name)
    if found:
        return f"{found[1]}.{int(found[2]):02}" if "transformer" in found[1] or "layers" in found[1] else found[0]
    return "mid_block" if name.startswith("mid_block") else "other"
