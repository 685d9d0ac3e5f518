"""How far two skills change the same numbers, and whether they pull the same way.

With p_A,l and p_B,l the shares of weight l that two skills change and n_l its numbers, masks that know nothing of each
other meet at sum_l p_A,l p_B,l n_l numbers by chance. Counted weight by weight, so that two LoRAs of the same layers do
not seem to agree only because both leave the rest alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .skill import TEXT, Skill, check_one_family
from .sparse import shared_positions

FIGHT, AGREE = 0.1, 0.02
"""Shares of the smaller skill's size that lie under an opposite change: more than the first is a conflict, less than
the second is none."""
MAX_BLOCKS = 16
_NUMBERED = re.compile(r"^((?:[a-z_]+_)?blocks|layers)\.(\d+)")


@dataclass(frozen=True)
class Overlap:
    """Two skills beside each other.

    Attributes:
        names: of the two skills.
        counts: how many numbers each changes.
        shared: how many both change.
        expected: how many they would share by chance.
        opposite: of the shared, how many they change with opposite signs.
        cosine: of both changes over all weights.
        conflict: share of the smaller skill's summed size that lies under an opposite change of the other.
    """

    names: tuple[str, str]
    counts: tuple[int, int]
    shared: int
    expected: float
    opposite: int
    cosine: float
    conflict: float

    @property
    def inside(self) -> float:
        """Share of the smaller skill that the other one changes too."""
        return self.shared / max(1, min(self.counts))

    @property
    def chance(self) -> float:
        """What :attr:`inside` would be by chance."""
        return self.expected / max(1, min(self.counts))

    @property
    def jaccard(self) -> float:
        """Shared numbers, of all that either changes."""
        return self.shared / max(1, sum(self.counts) - self.shared)

    @property
    def opposite_share(self) -> float:
        """Share of the shared numbers with opposite signs; by chance a half."""
        return self.opposite / self.shared if self.shared else 0.0

    @property
    def verdict(self) -> str:
        """Whether they will disturb each other."""
        if self.conflict >= FIGHT:
            return "they will disturb each other"
        return "they hardly touch" if self.conflict < AGREE else "they touch a little"


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
    return Overlap(names, counts, shared, expected, opposite, dot / max(norms, 1e-30), conflict)


def _mass(skill: Skill, power: int) -> float:
    return sum(float(change.values.double().abs().pow(power).sum()) for change in skill.changes.values())


def densities(skills: Sequence[Skill]) -> dict[str, list[float]]:
    """Block to the share of its numbers that each skill changes, of weights that any of the fine-tunes changed."""
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
