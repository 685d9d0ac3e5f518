"""The attention projections of FLUX-shaped transformers by diffusers' names: rows of the matrices that ComfyUI holds.

By these names the headless runner knows them as well, and files of changes fit both (ComfyUI's own LoRA loader too).
"""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

from ....core.attention.selection import Role
from ....core.types import LowRank
from ...shared.families import ModelFamily
from ..names import PREFIX

ROLES: dict[str, Role] = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "out",
    "add_q_proj": "query",
    "add_k_proj": "key",
    "add_v_proj": "value",
    "to_add_out": "out",
}
"""Layers of a block, the picture's before the text's, as in ``host/headless/flux.py``."""


@dataclass(frozen=True)
class WeightPart:
    """Rows of a weight in ComfyUI that have a name of their own.

    Attributes:
        key: the weight.
        start: its first row that belongs here.
        shape: (d_out, d_in) of what belongs here.
        whole: rows of the weight.
        role: what it projects to.
    """

    key: str
    start: int
    shape: tuple[int, int]
    whole: int
    role: Role

    @property
    def target(self) -> Any:
        """As ``comfy.lora.load_lora`` takes it."""
        return self.key if self.shape[0] == self.whole else (self.key, (0, self.start, self.shape[0]))

    def placed(self, change: LowRank) -> LowRank:
        """A change of these rows as one of the whole weight; gradients reach it."""
        behind = self.whole - self.start - self.shape[0]
        return LowRank(F.pad(change.up, (0, 0, self.start, behind)), change.down)  # (whole, r), (r, d_in)


def attention_parts(family: ModelFamily, patcher: Any) -> dict[str, WeightPart]:
    """Every attention projection, in the order they run; none for families whose changes are not learnt."""
    import comfy.utils

    if family.transformer is None or not family.transformer.tunes:
        return {}
    table = comfy.utils.flux_to_diffusers(patcher.model.model_config.unet_config, output_prefix=PREFIX)
    places = {
        name: place if isinstance(place, tuple) else (place, None)
        for name, place in table.items()
        if ".attn." in name and name.endswith(".weight") and _layer(name) in ROLES
    }
    ordered = sorted(places, key=lambda name: (name.startswith("single"), int(name.split(".")[1]), _order(name)))
    found = {}
    for name in ordered:
        key, rows = places[name]
        whole, columns = (int(side) for side in comfy.utils.get_attr(patcher.model, key).shape)
        _, start, size = rows or (0, 0, whole)
        found[name] = WeightPart(key, start, (size, columns), whole, ROLES[_layer(name)])
    return found


def _layer(name: str) -> str:
    return name.partition(".attn.")[2].removesuffix(".weight")


def _order(name: str) -> int:
    return list(ROLES).index(_layer(name))
