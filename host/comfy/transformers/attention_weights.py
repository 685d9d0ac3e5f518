"""The attention projections of a transformer's blocks: matrices that ComfyUI holds, or rows by diffusers' names.

By these names the headless runner knows those of FLUX as well, and ComfyUI's own LoRA loader reads changes of all.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch.nn.functional as F

from ....core.attention.selection import Role
from ....core.types import Change, FullChange, LowRank
from ...shared.families import ModelFamily
from ..names import PREFIX
from .sites import block_paths, record_of

ROLES: dict[str, Role] = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "out",
    "add_q_proj": "query",
    "add_k_proj": "key",
    "add_v_proj": "value",
    "to_add_out": "out",
    "wq": "query",
    "wk": "key",
    "wv": "value",
    "wo": "out",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "output_proj": "out",
}
"""Layers of a block, the picture's before the text's, as in ``host/headless/flux.py``; Krea 2's and Anima's behind."""

Reads = Literal["self", "cross", "joint"]

_ATTENTION: dict[str, Reads] = {
    ".attn.": "joint",
    ".attention.": "joint",
    ".self_attn.": "self",
    ".cross_attn.": "cross",
}
"""What stands before a layer in its name, to what its attention reads."""


@dataclass(frozen=True)
class WeightPart:
    """Rows of a weight in ComfyUI that have a name of their own.

    Attributes:
        key: the weight.
        start: its first row that belongs here.
        shape: (d_out, d_in) of what belongs here.
        whole: rows of the weight.
        role: what it projects to.
        kind: of the attention it belongs to.
    """

    key: str
    start: int
    shape: tuple[int, int]
    whole: int
    role: Role
    kind: Reads

    @property
    def target(self) -> Any:
        """As ``comfy.lora.load_lora`` takes it."""
        return self.key if self.shape[0] == self.whole else (self.key, (0, self.start, self.shape[0]))

    def placed(self, change: Change) -> Change:
        """A change of these rows as one of the whole weight; gradients reach it."""
        behind = self.whole - self.start - self.shape[0]
        if not isinstance(change, LowRank):
            return FullChange(F.pad(change.change, (0, 0, self.start, behind)))  # (whole, d_in)
        return LowRank(F.pad(change.up, (0, 0, self.start, behind)), change.down)  # (whole, r), (r, d_in)


def attention_parts(family: ModelFamily, patcher: Any) -> dict[str, WeightPart]:
    """Every attention projection, in the order they run; none for families whose changes are not learnt."""
    import comfy.utils

    if family.transformer is None or not family.transformer.tunes:
        return {}
    found = {}
    for name, (key, rows) in sorted(_places(family, patcher).items(), key=lambda place: _order(place[0])):
        whole, columns = (int(side) for side in comfy.utils.get_attr(patcher.model, key).shape)
        _, start, size = rows or (0, 0, whole)
        kind, layer = _layer(name)
        found[name] = WeightPart(key, start, (size, columns), whole, ROLES[layer], kind)
    return found


Place = tuple[str, tuple[int, int, int] | None]
"""A weight in ComfyUI and which of its rows: dimension, start and size; None for all."""


def _places(family: ModelFamily, patcher: Any) -> dict[str, Place]:
    """Where the attention projections of every block lie, by name."""
    import comfy.utils

    record, config = record_of(family), patcher.model.model_config.unet_config
    paths = tuple(f"{path}." for path in block_paths(family, patcher.get_model_object("diffusion_model")))
    held = dict.fromkeys(key for key in patcher.model.state_dict() if key.startswith(paths))  # in their order
    if record.tunes == "own":
        table: dict[str, Any] = {key.removeprefix(PREFIX): key for key in held}
    else:
        names_of = {
            "flux": comfy.utils.flux_to_diffusers,
            "z_image": comfy.utils.z_image_to_diffusers,
            "sd3": comfy.utils.mmdit_to_diffusers,
        }[record.tunes]
        table = names_of(config, output_prefix=PREFIX)
    places = {name: place if isinstance(place, tuple) else (place, None) for name, place in table.items()}
    return {
        name: place
        for name, place in places.items()
        if place[0] in held and name.endswith(".weight") and _layer(name)[1] in ROLES
    }


def _layer(name: str) -> tuple[Reads, str]:
    """What an attention layer reads and what it is called inside its attention; other layers have no such name."""
    found = next(((kind, name.partition(dot)[2]) for dot, kind in _ATTENTION.items() if dot in name), ("joint", ""))
    return found[0], found[1].removesuffix(".weight")


def _order(name: str) -> tuple[bool, int, int, int]:
    """Blocks in the order they run, in a block attention to the picture before attention to the text."""
    kind, layer = _layer(name)
    return name.startswith("single"), int(name.split(".")[1]), kind == "cross", list(ROLES).index(layer)
