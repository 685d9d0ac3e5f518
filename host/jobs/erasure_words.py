"""An erasure in a few words: what it replaces, and how far it moves the model's weights."""

from collections.abc import Mapping
from itertools import zip_longest

from ...core.messages import plain
from ...core.metadata import texts_in
from ...core.types import Erasure, LowRank

NOTHING = "nothing in particular"


def describe_file(erasure: Erasure) -> str:
    """What kind of file an erasure makes."""
    text = [change for of in erasure.text.values() for change in of.values()]
    if all(isinstance(change, LowRank) for change in (*erasure.factors.values(), *text)):
        return f"a LoRA of rank {erasure.metadata.get('rank', '?')}"
    return "differences of whole weights (.diff), which LoRA loaders of ComfyUI read and diffusers does not"


def describe_erasure(
    erasure: Erasure, changes: Mapping[str, float], text_changes: Mapping[str, float] | None = None
) -> str:
    """A line a concept and a remark of the method, then the relative change (0.01 is 1%) of the projections and of
    text encoder weights, by name.

    It says how much was edited, not how well the concept is gone: only pictures tell that.
    """
    entries = {"concepts": "[]", "anchors": "[]", "remarks": "[]", **erasure.metadata}
    concepts, anchors, remarks = (texts_in(entries, key, "this erasure") for key in ("concepts", "anchors", "remarks"))
    pairs = zip_longest(concepts, anchors[: len(concepts)], fillvalue="")
    lines = [f"{plain(concept)} is read as {plain(anchor) or NOTHING}" for concept, anchor in pairs]
    rank = f"; rank {erasure.metadata['rank']}" if "rank" in erasure.metadata else ""
    sizes = [_sizes("projections", changes), _sizes("weights of the text encoder", text_changes or {})]
    summary = f"{'; '.join(filter(None, sizes))}{rank}, strength {erasure.strength:g}"
    return "\n".join([*lines, *remarks, summary])


def _sizes(what: str, changes: Mapping[str, float]) -> str:
    if not changes:
        return ""
    sizes = sorted(changes.values())
    return (
        f"{len(sizes)} {what} change by {sizes[0]:.1%} to {sizes[-1]:.1%} of their size, half of them by less than "
        f"{sizes[len(sizes) // 2]:.1%}"
    )
