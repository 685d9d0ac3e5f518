"""Low-rank changes of the model that act in the region of one concept alone.

LoRA-Composer (Yang et al., arXiv 2403.11627), concept injection: ``K_n = W_n^K c_n`` and ``V_n = W_n^V c_n`` are keys
and values of region n's own text c_n under its own LoRA, ``W_n = W + up @ down``. Other texts keep ``W``, and no weight
of the model is written to. Queries and outputs stay those of the model, and so does self-attention: an edit of
attention sees queries, keys and values, and not what they were computed from.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from torch import Tensor

from ...backbone import Backbone
from ...files import kohya_key
from ...messages import listed
from ...types import LowRank
from ...weight_changes import low_rank

SiteRole = tuple[str, str]
"""An attention layer, and what of it is changed: ``key`` or ``value``."""

_UP, _DOWN, _ALPHA = ".lora_up.weight", ".lora_down.weight", ".alpha"


def entries(backbone: Backbone) -> dict[str, SiteRole]:
    """The name of each weight by which cross-attention reads text, and the layer that it belongs to.

    Raises ``ValueError`` for models whose text enters in another way.
    """
    sites = [site for site in backbone.attention_sites() if site.kind == "cross"]
    weights = backbone.key_value_weights()
    if len(weights) != 2 * len(sites) or any(weight.role not in ("key", "value") for weight in weights):
        raise ValueError("a LoRA can be kept to a region in Stable Diffusion 1.x, 2.x, XL and the lab model alone")
    return {
        weight.name: (site.name, weight.role)
        for site, pair in zip(sites, zip(weights[::2], weights[1::2], strict=True), strict=True)
        for weight in pair
    }


@dataclass(frozen=True, eq=False)
class Adapter:
    """What of a LoRA file acts in one region.

    Attributes:
        changes: by the layers that they act in.
        left_out: what else the file changes, in words for people; empty for nothing.
    """

    changes: Mapping[SiteRole, LowRank]
    left_out: str = ""


def read_adapter(backbone: Backbone, tensors: Mapping[str, Tensor], strength: float, named: str) -> Adapter:
    """The part of a LoRA file that can be kept to a region: its changes of the keys and values that cross-attention
    reads from text. What else it changes is left out and named.

    Args:
        backbone: the model.
        tensors: of a file that Save Adapter as LoRA wrote, or another with kohya's names.
        strength: factor on it.
        named: the file's name, for messages.

    Raises ``ValueError`` for a file without such changes, and for factors that do not fit.
    """
    known = {kohya_key(name, backbone.family): (name, place) for name, place in entries(backbone).items()}
    shapes = {weight.name: tuple(weight.weight.shape) for weight in backbone.key_value_weights()}
    bases = sorted({key.removesuffix(_UP) for key in tensors if key.endswith(_UP)} & known.keys())
    if not bases:
        raise ValueError(
            f"{named} changes no keys and values by which this model reads its text ({listed(sorted(tensors), 2)}); "
            "only these can be kept to a region: learn with layers=cross_key_value, or load the file with a LoRA "
            "loader, for the whole picture"
        )
    found: dict[SiteRole, LowRank] = {}
    for base in bases:
        name, place = known[base]
        up, down = tensors[base + _UP], tensors[base + _DOWN]
        alpha = tensors.get(base + _ALPHA)
        change = low_rank(up, down, strength * (1.0 if alpha is None else float(alpha) / len(down)))
        if change.shape != shapes[name]:
            raise ValueError(f"{named} was made for another model: {name} is {shapes[name]} here, {change.shape} there")
        found[place] = change
    others = {key.split(".")[0] if key.startswith("lora_") else key for key in tensors}
    return Adapter(found, _left_out(others - set(bases), named))


_PARTS = (
    ("text encoder", ("lora_te", "text_encoder", "bundle_emb")),
    ("self-attention", ("_attn1_",)),
    ("queries and outputs of cross-attention", ("_attn2_",)),
)
"""What people call parts of a model, and what keys of their weights hold."""


def _left_out(bases: Set[str], named: str) -> str:
    """Which weights of a file do not act, in words."""
    counts: dict[str, int] = {}
    for base in bases:
        part = next((part for part, marks in _PARTS if any(mark in base for mark in marks)), "other layers")
        counts[part] = counts.get(part, 0) + 1
    if not counts:
        return ""
    parts = listed(
        f"{part} ({counts[part]})" for part in (*(name for name, _ in _PARTS), "other layers") if part in counts
    )
    return (
        f"Of {named}, {sum(counts.values())} weights are left out, which cannot be kept to a region: {parts}. The "
        "keys and values by which its region reads its text act."
    )


def added(rows: Tensor, change: LowRank, like: Tensor) -> Tensor:
    """What a change adds to keys or values (1, heads, l, d) of text rows (1, l, D): ``rows @ (up @ down)^T``.

    Args:
        rows: the encoded text.
        change: of a weight (heads * d, D).
        like: the keys or values, whose heads, device and precision the result has.
    """
    moved = rows.to(like.device).float()
    product = moved @ change.down.to(moved).T @ change.up.to(moved).T  # (1, l, heads * d)
    return product.unflatten(-1, (like.shape[1], -1)).transpose(1, 2).to(like.dtype)
