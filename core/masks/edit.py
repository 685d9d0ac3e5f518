"""Changing what a localiser found: keep, drop, merge, rename, grow, shrink, add the background.

Pure functions: the concepts given are left as they are. Names are written as lists, ``"1, 3"``; brackets as in
``<1>`` are allowed. Every function raises ``ValueError`` for names that do not exist, saying which do; those in
``gone`` were taken out before, and are passed over.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..clustering.components import grow as add_neighbours
from ..messages import listed, plain, shown
from ..types import Concepts
from .from_masks import attention_targets, mask_targets

NAME = re.compile(r"[\w-]+")
LONGEST_NAME = 100


def parse_names(text: str) -> list[str]:
    """``"<apple>, 2"`` to ``["apple", "2"]``; empty entries are skipped."""
    return [part for part in (piece.strip().strip("<>").strip() for piece in text.split(",")) if part]


def edit(concepts: Concepts, kept: str = "", dropped: str = "", joined: str = "", renamed: str = "") -> Concepts:
    """Keep, drop, merge and rename, in this order; an empty text changes nothing.

    All of them speak of the concepts as they are given, by the names they are given with. What one change takes out
    may still be named in those after it: they pass over it, so that a concept can be dropped and taken back without
    touching anything else.
    """
    given = concepts.names
    for text, change in ((kept, keep), (dropped, drop), (joined, merge), (renamed, rename)):
        if text.strip():
            concepts = change(concepts, text, set(given) - set(concepts.names))
    return concepts


def keep(concepts: Concepts, names: str, gone: Collection[str] = ()) -> Concepts:
    """Only the concepts named, in that order."""
    chosen = _indices(concepts, parse_names(names), gone)
    if not chosen:
        raise ValueError(f"name at least one concept to keep; there are {_known(concepts)}")
    return concepts.pick(list(dict.fromkeys(chosen)))


def drop(concepts: Concepts, names: str, gone: Collection[str] = ()) -> Concepts:
    """All but the concepts named. Raises ``ValueError`` if none would be left."""
    dropped = set(_indices(concepts, parse_names(names), gone))
    if len(dropped) == len(concepts):
        raise ValueError(f"dropping {plain(names)} would leave no concept; there are {_known(concepts)}")
    return concepts.pick([i for i in range(len(concepts)) if i not in dropped])


def merge(concepts: Concepts, groups: str, gone: Collection[str] = ()) -> Concepts:
    """``"1+3, 2+4"``: each group becomes one concept with the name and place of its first member.

    Masks are united, targets averaged without weights (as in post-clustering), scores weighted by area. Concepts that
    are not mentioned stay. Raises ``ValueError`` for a concept that is in two groups.
    """
    texts = [group.replace("+", ",") for group in groups.split(",") if group.strip()]
    joined = [group for group in (_indices(concepts, parse_names(text), gone) for text in texts) if group]
    members = [i for group in joined for i in group]
    if len(set(members)) != len(members):
        twice = sorted({concepts.names[i] for i in members if members.count(i) > 1})
        raise ValueError(f"{listed(twice)} is mentioned twice in {shown(groups)}; a concept belongs to one group")
    for group in joined:
        concepts = _with_union(concepts, group)
    swallowed = {i for group in joined for i in group[1:]}
    return concepts.pick([i for i in range(len(concepts)) if i not in swallowed])


def rename(concepts: Concepts, changes: str, gone: Collection[str] = ()) -> Concepts:
    """``"1=cat, 2=dog"``; swapping names is fine. Raises ``ValueError`` for names that no ``<name>`` can hold."""
    pairs = [part.split("=") for part in parse_names(changes)]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"write changes as old=new, separated by commas; got {shown(changes)}")
    names = list(concepts.names)
    for old, new in pairs:
        name = check_name(new.strip().strip("<>"))
        for index in _indices(concepts, parse_names(old) or [old], gone):
            names[index] = name
    return replace(concepts, names=tuple(names))


def check_name(name: str) -> str:
    """The name, if it can stand in a prompt as ``<name>``."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ValueError(
            f"{shown(name)} cannot name a concept; use letters, digits, - and _ only, at most {LONGEST_NAME} of them"
        )
    return name


def grow(concepts: Concepts, cells: int, names: str = "") -> Concepts:
    """Concepts (all by default) grown by so many cells, or shrunk by a negative number.

    Growing takes free cells only; a cell that several reach goes to the one whose target is larger there. The picture's
    edge does not shrink a concept. Targets stay. Raises ``ValueError`` when shrinking leaves nothing of one.
    """
    chosen = _indices(concepts, parse_names(names)) or list(range(len(concepts)))
    masks = concepts.masks.clone()
    for _ in range(min(abs(cells), sum(concepts.grid))):
        masks = _grown(masks, concepts.targets, chosen) if cells > 0 else _shrunk(masks, chosen)
    empty = [concepts.names[i] for i in chosen if not masks[i].any()]
    if empty:
        raise ValueError(f"shrinking by {-cells} cells leaves nothing of {listed(empty)}; use fewer")
    return replace(concepts, masks=masks)


def add_background(concepts: Concepts, name: str = "background", attention: Tensor | None = None) -> Concepts:
    """What no concept covers as one more, last, with score 0.

    Args:
        attention: (h*w, h*w) for its target; without it the target is even over the mask.

    Raises:
        ValueError: when nothing is left over, or the name is taken.
    """
    mask = ~concepts.masks.any(0, keepdim=True)  # (1, h, w)
    if not mask.any():
        raise ValueError("the concepts cover the whole picture; there is no background to add")
    target = mask_targets(mask) if attention is None else attention_targets(mask, attention)
    return replace(
        concepts,
        masks=torch.cat([concepts.masks, mask]),
        targets=torch.cat([concepts.targets, target.to(concepts.targets)]),
        names=(*concepts.names, check_name(name)),
        scores=torch.cat([concepts.scores, concepts.scores.new_zeros(1)]),
    )


def _with_union(concepts: Concepts, group: Sequence[int]) -> Concepts:
    """The concepts with the union of a group standing at its first member."""
    index, area = list(group), concepts.masks[list(group)].sum((1, 2)).float()
    masks, targets, scores = concepts.masks.clone(), concepts.targets.clone(), concepts.scores.clone()
    masks[index[0]] = concepts.masks[index].any(0)  # (members, h, w) to (h, w)
    targets[index[0]] = concepts.targets[index].mean(0)
    scores[index[0]] = (concepts.scores[index] * area).sum() / area.sum().clamp_min(1)  # (members,) with (members,)
    return replace(concepts, masks=masks, targets=targets, scores=scores)


def _grown(masks: Tensor, targets: Tensor, chosen: Sequence[int]) -> Tensor:
    index = torch.tensor(chosen)
    wishes = add_neighbours(masks[index]) & ~masks.any(0)  # (chosen, h, w)
    winner = targets[index].masked_fill(~wishes, -1).argmax(0)  # (h, w)
    taken = wishes & (winner[None] == torch.arange(len(index), device=masks.device)[:, None, None])  # (chosen, h, w)
    grown = masks.clone()
    grown[index] |= taken
    return grown


def _shrunk(masks: Tensor, chosen: Sequence[int]) -> Tensor:
    index = torch.tensor(chosen)
    shrunk = masks.clone()
    shrunk[index] = masks[index] & ~add_neighbours(~masks[index])
    return shrunk


def _indices(concepts: Concepts, names: Sequence[str], gone: Collection[str] = ()) -> list[int]:
    unknown = [name for name in names if name not in concepts.names and name not in gone]
    if unknown:
        raise ValueError(f"no concept is called {listed(unknown)}; there are {_known(concepts)}")
    return [concepts.names.index(name) for name in names if name in concepts.names]


def _known(concepts: Concepts) -> str:
    return listed(concepts.names) or "none"
