"""Changes of the same weights that are in force together, as one change of low rank each."""

from collections.abc import Mapping

import torch

from ...types import Change, FullChange, LowRank


def low_rank_of(change: Change) -> LowRank:
    """The same change (d_out, d_in) as factors; a whole one is its own ``up``."""
    if isinstance(change, LowRank):
        return change
    whole = change.dense()
    return LowRank(whole, torch.eye(whole.shape[1], dtype=whole.dtype, device=whole.device))


def stacked(*changes: Mapping[str, Change]) -> dict[str, LowRank]:
    """The sum of the changes of each weight, by name: ``[up_1 up_2] [down_1; down_2]``."""
    found: dict[str, list[LowRank]] = {}
    for one in changes:
        for name, change in one.items():
            found.setdefault(name, []).append(low_rank_of(change))
    return {
        name: LowRank(
            torch.cat([part.up.to(parts[0].up) for part in parts], 1),
            torch.cat([part.down.to(parts[0].down) for part in parts]),
        )
        for name, parts in found.items()
    }


def shortest(changes: Mapping[str, LowRank]) -> dict[str, Change]:
    """Each as factors where these are fewer numbers than the whole difference, which stands for it otherwise."""
    return {
        name: change if change.up.numel() + change.down.numel() < _whole(change) else FullChange(change.dense())
        for name, change in changes.items()
    }


def rank_notes(changes: Mapping[str, LowRank], *trained: Mapping[str, LowRank]) -> dict[str, str]:
    """What the metadata say of changes of which a part was trained and the rest is a closed form.

    Args:
        changes: all together, by weight name.
        trained: the parts of them that were trained, at least one.

    Returns:
        ``rank``, the largest of a trained part; and ``closed_form_rank``, that of the rest, where there is one.
    """
    own = max(_rank(change) for part in trained for change in part.values())
    rest = max(
        _rank(change) - sum(_rank(part[name]) for part in trained if name in part) for name, change in changes.items()
    )
    return {"rank": str(own)} | ({"closed_form_rank": str(rest)} if rest else {})


def _rank(change: LowRank) -> int:
    return change.up.shape[1]


def _whole(change: LowRank) -> int:
    return change.shape[0] * change.shape[1]
