"""The commands of ``bench localize`` and ``bench match``."""

from ...core.localize.registry import METHODS as LOCALIZING
from ..localize.localize import METHOD as LOCALIZER
from .seeds import SEEDS, in_name

LOCALIZE = "localize --split test --cases"
FIRST = {"localize.json": f"{LOCALIZE} 64 --controls 8"}

LOCALIZERS = [name for name in LOCALIZING if name != LOCALIZER]
"""Methods of localising beside the one that a bench takes by default."""

MATCHED = {
    "match.json": "match --cases 60",
    "match_same_style.json": "match --cases 60 --same-style",
    "match_test.json": "match --split test --cases 60",
}

LOCALIZED = {
    "localize_touching.json": f"{LOCALIZE} 24 --touching",
    "localize_touching_known_count.json": f"{LOCALIZE} 24 --touching --known-count",
    "localize_alike.json": f"{LOCALIZE} 24 --alike",
    "localize_known_count.json": f"{LOCALIZE} 32 --known-count",
    **{f"localize_{name}.json": f"{LOCALIZE} 32 --method {name}" for name in LOCALIZERS},
    "localize_paper.json": f"{LOCALIZE} 32 --preset paper",
    "localize_fluent.json": f"{LOCALIZE} 32 --hand fluent",
    "localize_noto.json": f"{LOCALIZE} 32 --hand noto",
    "localize_twemoji.json": f"{LOCALIZE} 32 --hand twemoji",
    "localize_short.json": f"{LOCALIZE} 32 --caption short",
    "localize_complete.json": f"{LOCALIZE} 32 --caption complete",
    "localize_sweep.json": "localize --cases 12 --sweep",
}
"""Objects that touch or are alike, a given count, every method, the published preset, the icons of other hands,
captions that are given, and a sweep of layers by shares of noise."""


def with_seeds() -> dict[str, str]:
    """Every way of localising on objects of either kind, three seeds each, but for those that stand above."""
    commands: dict[str, str] = {}
    ways = {"": "", **{name: f"--method {name}" for name in LOCALIZERS}, "paper": "--preset paper"}
    for way, arguments in ways.items():
        for objects, flag in (("", ""), ("unseen", "--unseen")):
            for seed in SEEDS:
                if objects or seed:  # what is left stands above
                    name = "_".join(part for part in (way, objects, in_name(seed)) if part)
                    commands[f"localize/{name}.json"] = " ".join((LOCALIZE, "32", arguments, flag, seed))
    return commands
