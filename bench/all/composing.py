"""The commands of ``bench compose``."""

from ...core.compose.registry import METHODS as COMPOSING
from .seeds import SEEDS, in_name

WAYS = {"plain": "", "area": "--method area", **{name: f"--method {name}" for name in COMPOSING}}
"""Way of composing to its arguments: the plain prompt, stock areas, and every method."""


def composed() -> dict[str, str]:
    """Every way of composing in regions that are given and that are found; two of a kind, learnt tokens and seeds."""
    return {
        "compose.json": "compose --split test --cases 96 --controls 6",
        **{f"compose/{name}.json": f"compose --split test --cases 96 --method {name}" for name in COMPOSING},
        **{
            f"compose/{name}_found.json": f"compose --split test --cases 48 --method {name} --regions found"
            for name, record in COMPOSING.items()
            if "regions" in record.needs
        },
        "compose/area.json": "compose --split test --cases 96 --method area",
        **_further(),
    }


def _further() -> dict[str, str]:
    """Of every way of composing: two of a kind, learnt tokens, and further seeds, of fewer cases where the latent
    moves."""
    found: dict[str, str] = {}
    for name, way in WAYS.items():
        found[f"compose/{name}_alike.json"] = f"compose --split test --cases 24 --alike {way}"
        found[f"compose/{name}_learnt.json"] = f"compose --split test --cases 12 --learnt {way}"
        moves = name in COMPOSING and COMPOSING[name].preset("small").gradients
        for seed in SEEDS[1:]:
            command = f"compose --split test --cases {12 if moves else 24} {way} {seed}"
            found[f"compose/{name}_{in_name(seed)}.json"] = command
    return found
