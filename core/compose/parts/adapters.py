"""Low-rank changes of the model that act in the region of one concept alone.

LoRA-Composer (Yang et al., arXiv 2403.11627), concept injection: ``K_n = W_n^K c_n`` and ``V_n = W_n^V c_n`` are keys
and values of region n's own text c_n under its own LoRA, ``W_n = W + up @ down``. Other texts keep ``W``, and no weight
of the model is written to. Queries and outputs stay those of the model.
"""

from collections.abc import Mapping

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


def read_adapter(
    backbone: Backbone, tensors: Mapping[str, Tensor], strength: float, named: str
) -> dict[SiteRole, LowRank]:
    """The change of a LoRA file, by the layers that it acts in.

    Args:
        backbone: the model.
        tensors: of a file that Save Adapter as LoRA wrote, or another that changes the same weights.
        strength: factor on it.
        named: the file's name, for messages.

    Raises ``ValueError`` for files that change more than the keys and values of cross-attention, or change others, and
    for factors that do not fit.
    """
    known = {kohya_key(name, backbone.family): (name, place) for name, place in entries(backbone).items()}
    shapes = {weight.name: tuple(weight.weight.shape) for weight in backbone.key_value_weights()}
    bases = {key.removesuffix(_UP) for key in tensors if key.endswith(_UP)}
    used = {f"{base}{end}" for base in bases & known.keys() for end in (_UP, _DOWN, _ALPHA)}
    others = sorted(set(tensors) - used)
    if others or not bases:
        raise ValueError(
            f"{named} changes more than the keys and values by which the picture reads its text ({listed(others, 2)}); "
            "only these can be kept to a region: learn with layers=cross_key_value, or load the file with a LoRA "
            "loader, for the whole picture"
        )
    found: dict[SiteRole, LowRank] = {}
    for base in sorted(bases):
        name, place = known[base]
        up, down = tensors[base + _UP], tensors[base + _DOWN]
        alpha = tensors.get(base + _ALPHA)
        change = low_rank(up, down, strength * (1.0 if alpha is None else float(alpha) / len(down)))
        if change.shape != shapes[name]:
            raise ValueError(f"{named} was made for another model: {name} is {shapes[name]} here, {change.shape} there")
        found[place] = change
    return found


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
