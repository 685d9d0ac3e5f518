"""CONDITIONINGs that hold in parts of the picture, as ComfyUI's ConditioningSetAreaPercentage, ConditioningSetMask and
ConditioningCombine write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...core.backbone import Conditioning
from ...core.compose.parts.areas import Area
from ...core.messages import shown
from .conditioning import from_comfy, to_comfy
from .timed_conditioning import END, START

AREA, MASK = "area", "mask"
_OF_AREAS = frozenset({AREA, MASK, "strength", "mask_strength", "set_area_to_bounds", START, END})


def area_entries(prompt: Conditioning, areas: Sequence[Area], frames: bool) -> list[list[Any]]:
    """A CONDITIONING of the prompt of the whole picture, and an entry for each area.

    Args:
        prompt: one row.
        areas: none gives the prompt alone.
        frames: whether the model's latents have frames, as those of video models; their areas span frames, too.
    """
    entries = to_comfy(prompt)
    for area in areas:
        ((context, extras),) = to_comfy(area.text)
        entries.append([context, {**extras, **_place(area, frames), **_span(area)}])
    return entries


def _place(area: Area, frames: bool) -> dict[str, Any]:
    if area.mask is not None:
        return {MASK: area.mask[None], "set_area_to_bounds": False, "mask_strength": area.strength}
    left, top, right, bottom = area.box or (0.0, 0.0, 1.0, 1.0)
    size, start = (round(bottom - top, 4), round(right - left, 4)), (top, left)
    box = (1.0, *size, 0.0, *start) if frames else (*size, *start)
    return {AREA: ("percentage", *box), "strength": area.strength, "set_area_to_bounds": False}


def _span(area: Area) -> dict[str, float]:
    return ({START: area.start} if area.start > 0 else {}) | ({END: area.end} if area.end < 1 else {})


def areas_of(entries: Sequence[Sequence[Any]], name: str = "CONDITIONING") -> tuple[Area, ...]:
    """The areas of a CONDITIONING; none where no entry has an area or a mask.

    Raises ``ValueError`` for areas in pixels, several masks in one entry, and as :func:`~.conditioning.from_comfy`
    does.
    """
    if not any(extras.get(key) is not None for _, extras in entries for key in (AREA, MASK)):
        return ()
    found = []
    for context, extras in entries:
        rest = {key: value for key, value in extras.items() if key not in _OF_AREAS}
        mask, box = _mask(extras, name), _box(extras, name)
        strength = float(extras.get("strength", 1.0)) * float(
            extras.get("mask_strength", 1.0) if mask is not None else 1
        )
        span = float(extras.get(START) or 0.0), float(extras.get(END, 1.0))
        found.append(Area(from_comfy([[context, rest]], name), box, mask, strength, *span))
    return tuple(found)


def _mask(extras: Mapping[str, Any], name: str) -> Tensor | None:
    mask: Tensor | None = extras.get(MASK)
    if mask is None:
        return None
    if extras.get("set_area_to_bounds"):
        raise ValueError(f"{name} has a mask that also sets an area, which the headless sampler does not support")
    if mask.ndim == 3 and len(mask) == 1:
        mask = mask[0]
    if mask.ndim != 2:
        raise ValueError(f"{name} has a mask of {tuple(mask.shape)}; the headless sampler takes one for each entry")
    return mask


def _box(extras: Mapping[str, Any], name: str) -> tuple[float, float, float, float] | None:
    area = extras.get(AREA)
    if area is None:
        return None
    if area[0] != "percentage" or len(area) != 5:
        raise ValueError(
            f"{name} has the area {shown(area)}; the headless sampler takes shares of the picture's sides, as "
            "Conditioning (Set Area with Percentage) writes them"
        )
    height, width, top, left = (float(side) for side in area[1:])
    return left, top, left + width, top + height
