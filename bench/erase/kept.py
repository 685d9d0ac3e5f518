"""What an erasure and its guard do to other things, in ``bench attack``."""

from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

from torch import Tensor

from ...core.attack.parts.task import AttackTask
from ...lab.judge.judge import Judge


def kept_of(judge: Judge, task: AttackTask) -> dict[str, Any]:
    """In what share of pictures of other things the judge finds them, before the erasure and its guard, and after."""
    names = list(islice(cycle(task.others), task.settings.draws))
    drawn = {"before": task.without(), "after": task.draw(task.erased, task.sentences(task.others))}

    def share(pictures: Tensor) -> float:
        found = judge.found(judge.look(pictures))
        return sum(name in there for name, there in zip(names, found, strict=True)) / len(names)

    return {when: share(pictures) for when, pictures in drawn.items()} | {"pictures": len(names)}


def kept_over(entries: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean over objects of :func:`kept_of`."""
    return {when: round(sum(one[when] for one in entries) / len(entries), 4) for when in ("before", "after")}
