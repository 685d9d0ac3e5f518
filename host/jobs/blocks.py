"""Which blocks of a transformer are recorded, as people write it."""

import re
from collections.abc import Iterator, Sequence

from ...core.backbone import AttentionSite
from ...core.messages import shown

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")


def sites_of_blocks(sites: Sequence[AttentionSite], blocks: str) -> tuple[str, ...] | None:
    """Names of the attention layers in the blocks that a text like ``4-12, 20`` names, counted from 0 as they run.

    ``all`` names every block. An empty text leaves the choice to the model's family, and gives None.

    Raises ``ValueError`` for a UNet, for anything else than numbers, and for blocks that the model does not have.
    """
    if not blocks.strip():
        return None
    if any(site.stage is not None for site in sites):
        raise ValueError(f"blocks is {shown(blocks)}, and this model is a UNet; leave blocks empty and choose stages")
    names: dict[str, list[str]] = {}
    for site in sites:
        block = site.name if site.kind == "joint" else site.name.rpartition(".")[0]
        names.setdefault(block, []).append(site.name)
    wanted = set(range(len(names))) if blocks.strip() == "all" else set(_numbers(blocks))
    if wanted and max(wanted) >= len(names):
        raise ValueError(f"this model has blocks 0 to {len(names) - 1}, and blocks names {max(wanted)}")
    return tuple(name for number, inside in enumerate(names.values()) if number in wanted for name in inside)


def _numbers(blocks: str) -> Iterator[int]:
    for part in blocks.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None or (found[2] is not None and int(found[2]) < int(found[1])):
            raise ValueError(f"blocks has {shown(part.strip())}; write numbers and ranges like 4-12, 20, or all")
        yield from range(int(found[1]), int(found[2] or found[1]) + 1)
