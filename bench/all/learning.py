"""The commands of ``bench learn``."""

from ...core.learn.registry import METHODS as LEARNING
from .seeds import SEEDS, in_name

METHODS = {name: "--classes" * method.class_follows_token for name, method in LEARNING.items()}
"""Method of learning to the further arguments of its bench."""

MAPS = "learn --split test --cases 16 --method conceptexpress --maps"
"""Whether tokens' heat maps fit; with and without the cycle loss."""


def learnt() -> dict[str, str]:
    """Every method of learning with two seeds, the further presets of ConceptExpress, and its tokens' heat maps."""
    commands: dict[str, str] = {}
    for method, extra in METHODS.items():
        for seed in SEEDS[:2]:
            name = "_".join(part for part in (method, in_name(seed), "test") if part)
            controls = "--controls 8" if name == "conceptexpress_test" else ""
            command = ("learn --split test --cases 8 --method", method, extra, seed, controls)
            commands[f"learn/{name}.json"] = " ".join(command)
    commands["learn/conceptexpress_faithful_test.json"] = "learn --split test --cases 4 --preset faithful_small"
    for preset in ("values", "search"):
        command = f"learn --split test --cases 8 --method conceptexpress --preset small_{preset}"
        commands[f"learn/conceptexpress_{preset}_test.json"] = command
        commands[f"learn/conceptexpress_{preset}_seed1_test.json"] = f"{command} --seed 1"
    commands["learn/conceptexpress_maps.json"] = MAPS
    commands["learn/conceptexpress_maps_cycle.json"] = f"{MAPS} --set cycle_weight=0.5"
    return commands
