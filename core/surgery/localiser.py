"""The record of a method that finds which parameters of a fine-tune carry its skill."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..messages import listed
from ..settings import preset_of
from .skill import Skill
from .sparse import SparseChange, change_at, difference

OnWeight = Callable[[int, int], None]
"""Called with how many weights were read, of how many; may raise, to stop."""

Weights = Mapping[str, Tensor]
"""Name to weight (d_out, d_in, ...). Hosts read each one when it is asked for, so nothing here may keep many."""


@dataclass(frozen=True, eq=False)
class SkillTask:
    """What a method gets.

    Attributes:
        base: the weights of the model that both have in common.
        tuned: those of the fine-tune, of the same names and sizes.
        names: of the weights that differ and are looked at.
        settings: the method's.
        on_weight: called after each weight.
    """

    base: Weights
    tuned: Weights
    names: tuple[str, ...]
    settings: Any
    on_weight: OnWeight


@dataclass(frozen=True, eq=False)
class Localiser:
    """A method of localising a skill.

    Attributes:
        name: its name in workflows, files and :data:`.registry.METHODS`.
        title: its name for people.
        help: what it does, one sentence.
        presets: preset name to settings; the first is the paper's and the default.
        find: gives, weight by weight in the order of the task's names, which parameters (n,) bool belong to the
            skill.
        note: what else people should know; whole sentences, may be empty.
    """

    name: str
    title: str
    help: str
    presets: Mapping[str, Any]
    find: Callable[[SkillTask], Iterator[tuple[str, Tensor]]]
    note: str = ""

    def preset(self, name: str) -> Any:
        """The settings of a preset. Raises ``ValueError`` for a name that the method does not have."""
        return preset_of(self, name)

    def localise(
        self,
        base: Weights,
        tuned: Weights,
        family: str,
        settings: Any = None,
        wanted: Callable[[str], bool] = lambda name: True,
        fingerprint: str = "",
        on_weight: OnWeight = lambda done, total: None,
    ) -> Skill:
        """The skill of a fine-tune.

        Args:
            base: weights of the model that the fine-tune was made from.
            tuned: weights of the fine-tune.
            family: of both.
            settings: the method's; its first preset by default.
            wanted: which weights are looked at, by name.
            fingerprint: of the base.
            on_weight: called with each weight read, of how many.

        Raises ``ValueError`` for models of other weights, and if no weight differs.
        """
        settings = next(iter(self.presets.values())) if settings is None else settings
        names = differing(base, tuned, wanted)
        task = SkillTask(base, tuned, names, settings, on_weight)
        changes: dict[str, SparseChange] = {}
        sizes: dict[str, int] = {}
        whole = 0.0
        for name, chosen in self.find(task):
            before, after = base[name], tuned[name]
            change = change_at(before, after, chosen)
            sizes[name] = before.numel()
            whole += float(difference(before, after).double().square().sum())
            if len(change):
                changes[name] = change
        kept = sum(float(change.values.double().square().sum()) for change in changes.values()) / whole
        metadata = {"method": self.name} | {key: str(value) for key, value in vars(settings).items()}
        return Skill(changes, sizes, family, fingerprint, {**metadata, "kept": f"{kept:.6f}"})


def wanted_by(only: Sequence[str], skip: Sequence[str]) -> Callable[[str], bool]:
    """Which weights are looked at: those whose names hold any of ``only`` (all without one), and none of ``skip``."""

    def wanted(name: str) -> bool:
        return (not only or any(part in name for part in only)) and not any(part in name for part in skip)

    return wanted


def differing(base: Weights, tuned: Weights, wanted: Callable[[str], bool]) -> tuple[str, ...]:
    """Names of the wanted weights that are not the same in both models, in order.

    Raises ``ValueError`` for models of other weights, for weights that are not finite, and if none differs.
    """
    missing = sorted(set(base) ^ set(tuned))
    if missing:
        raise ValueError(
            f"the two models differ in more than their parameters: only one of them has {listed(missing, 3)}; connect "
            "a fine-tune of the same architecture"
        )
    names = tuple(name for name in base if wanted(name) and _differs(name, base[name], tuned[name]))
    if not names:
        raise ValueError(
            "the two models have the same weights, as far as they are looked at (those stored in 8 bits are not); "
            "connect the fine-tune, and load both in 16 bits"
        )
    return names


def _differs(name: str, before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape:
        raise ValueError(f"{name} is {tuple(before.shape)} in the base and {tuple(after.shape)} in the fine-tune")
    if before.data_ptr() == after.data_ptr() and before.dtype == after.dtype and before.stride() == after.stride():
        return False
    if not bool(torch.isfinite(after).all()) or not bool(torch.isfinite(before).all()):
        raise ValueError(f"{name} holds NaN or infinite values; load another file")
    return not torch.equal(before.float(), after.float().to(before.device))
