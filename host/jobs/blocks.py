"""Which blocks of a transformer are recorded, as people write it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from ...core.attribute.concept_attention import ConceptBackbone
from ...core.backbone import AttentionKind, AttentionSite, Backbone
from ...core.masks.words import WordSettings
from ...core.messages import shown
from ..shared.families import FAMILIES

Reading = TypeVar("Reading", bound=Any)
"""Settings of a method that reads attention in a picture, with the fields ``layers`` and ``noise``."""

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


def read_by(backbone: Backbone, settings: Reading, blocks: str = "") -> Reading:
    """Settings with the blocks and the share of noise that pictures are read at.

    What neither ``blocks`` nor the settings say is, of a transformer, its family's (``Transformer`` of
    :mod:`..shared.families`), and of a UNet the preset's. Raises as :func:`sites_of_blocks` does.
    """
    layers = sites_of_blocks(backbone.attention_sites(), blocks)
    transformer = FAMILIES[backbone.family].transformer
    if transformer is None:
        return settings
    noise = transformer.noise if settings.noise is None else settings.noise
    if layers is not None:
        return cast(Reading, replace(settings, layers=layers, noise=noise))
    words, own = (_defaults(backbone, view) for view in ("cross", "self"))
    chosen = {"layers": words, "self_layers": own} if isinstance(settings, WordSettings) else {"layers": own}
    return cast(Reading, replace(settings, **chosen, noise=noise))


def preset_changes(backbone: Backbone, method: str, preset: str) -> dict[str, float]:
    """What the model's family has in place of the values of a method's preset, by setting."""
    transformer = FAMILIES[backbone.family].transformer
    if transformer is None or (method, preset) != ("conceptexpress", "small"):
        return {}
    return dict(transformer.small)


def _defaults(backbone: Backbone, view: AttentionKind) -> tuple[str, ...]:
    """Names of the layers that the model's family reads of a view."""
    return tuple(site.name for site in cast(ConceptBackbone, backbone).default_sites(view))


def _numbers(blocks: str) -> Iterator[int]:
    for part in blocks.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None or (found[2] is not None and int(found[2]) < int(found[1])):
            raise ValueError(f"blocks has {shown(part.strip())}; write numbers and ranges like 4-12, 20, or all")
        yield from range(int(found[1]), int(found[2] or found[1]) + 1)
