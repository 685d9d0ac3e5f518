"""An erasure in a few words: what it replaces, and how far it moves the model's weights."""

from collections.abc import Mapping
from itertools import zip_longest

from ....core.files.metadata import texts_in
from ....core.messages import plain
from ....core.types import Erasure, LowRank

NOTHING = "nothing in particular"


def describe_file(erasure: Erasure) -> str:
    """What kind of file an erasure makes."""
    text = [change for of in erasure.text.values() for change in of.values()]
    changes = [*erasure.factors.values(), *text]
    ranks = [change.up.shape[1] for change in changes if isinstance(change, LowRank)]
    if ranks and len(ranks) == len(changes):
        return f"a LoRA of rank {max(ranks)}"
    return "differences of whole weights (.diff), which LoRA loaders of ComfyUI read and diffusers does not"


def describe_erasure(
    erasure: Erasure, changes: Mapping[str, float], text_changes: Mapping[str, float] | None = None
) -> str:
    """A line a concept and a remark of the method, then the relative change (0.01 is 1%) of the projections and of
    text encoder weights, by name.

    It says how much was edited, not how well the concept is gone: only pictures show that.
    """
    entries = {"concepts": "[]", "anchors": "[]", "remarks": "[]", **erasure.metadata}
    concepts, anchors, remarks = (texts_in(entries, key, "this erasure") for key in ("concepts", "anchors", "remarks"))
    pairs = zip_longest(concepts, anchors[: len(concepts)], fillvalue="")
    lines = [f"{plain(concept)} is read as {plain(anchor) or NOTHING}" for concept, anchor in pairs]
    sizes = [_sizes("projections", changes), _sizes("weights of the text encoder", text_changes or {})]
    strength = ", ".join(filter(None, [_ranks(erasure.metadata), f"strength {erasure.strength:g}"]))
    return "\n".join([*lines, *remarks, "; ".join([*filter(None, sizes), strength])])


def _ranks(metadata: Mapping[str, str]) -> str:
    """The rank of the change, and that of the closed form that a training began from."""
    if "rank" not in metadata:
        return ""
    closed = metadata.get("closed_form_rank")
    return f"rank {plain(metadata['rank'])}" + (f" on a closed form of rank {plain(closed)}" if closed else "")


def _sizes(what: str, changes: Mapping[str, float]) -> str:
    if not changes:
        return ""
    sizes = sorted(changes.values())
    return (
        f"{len(sizes)} {what} change by {sizes[0]:.1%} to {sizes[-1]:.1%} of their size, half of them by less than "
        f"{sizes[len(sizes) // 2]:.1%}"
    )
