"""A skill: the few parameters of a model that a fine-tune or a LoRA changed most, and what it added to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .sparse import SparseChange, shared_positions

TEXT = "text_encoders."
"""How names of weights of text encoders begin: ``text_encoders.clip_l.encoder.layers.0.mlp.fc1.weight``."""


@dataclass(frozen=True, eq=False)
class Skill:
    """A sparse change of a model.

    Attributes:
        changes: weight name to its change at strength 1.
        sizes: weight name to the count of its parameters, of every weight that the fine-tune changed at all: what a
            share or a density is a share of.
        family: of the model.
        base: fingerprint of the model that it was found on; empty for unknown.
        metadata: settings and where it came from.
    """

    changes: Mapping[str, SparseChange]
    sizes: Mapping[str, int]
    family: str
    base: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many parameters it changes."""
        return sum(map(len, self.changes.values()))

    @property
    def share(self) -> float:
        """Of the parameters in the weights that the fine-tune changed."""
        return len(self) / max(1, sum(self.sizes.values()))

    @property
    def denoiser(self) -> dict[str, SparseChange]:
        """The changes that are not of text encoders."""
        return {name: change for name, change in self.changes.items() if not name.startswith(TEXT)}

    @property
    def text(self) -> dict[str, dict[str, SparseChange]]:
        """Text encoder to the changes of its weights."""
        found: dict[str, dict[str, SparseChange]] = {}
        for name, change in self.changes.items():
            if name.startswith(TEXT):
                encoder, _, weight = name.removeprefix(TEXT).partition(".")
                found.setdefault(encoder, {})[weight] = change
        return found


def part_of(skill: Skill, other: Skill, shared: bool) -> Skill:
    """The part of a skill at positions that another skill changes too, or, if not ``shared``, does not.

    Raises ``ValueError`` for skills of two families, and if no position is left.
    """
    check_one_family([skill, other])
    changes = {}
    for name, change in skill.changes.items():
        if name in other.changes:
            inside, _ = shared_positions(change, other.changes[name])
            change = change.pick(inside if shared else ~inside)
        elif shared:
            continue
        if len(change):
            changes[name] = change
    if not changes:
        raise ValueError(
            "the two skills share no position" if shared else "the other skill changes every position of this one"
        )
    return replace(skill, changes=changes, metadata={**skill.metadata, "part": "shared" if shared else "apart"})


def check_one_family(skills: list[Skill]) -> None:
    """Raise ``ValueError`` for skills of models of two families."""
    families = list(dict.fromkeys(skill.family for skill in skills))
    if len(families) > 1:
        raise ValueError(
            f"the skills belong to models of the families {' and '.join(families)}; connect skills of one model"
        )


def same_base(skills: list[Skill]) -> bool:
    """Whether all that say what they were found on say the same."""
    return len({skill.base for skill in skills if skill.base}) <= 1
