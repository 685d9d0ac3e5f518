"""The commands of ``bench erase`` and ``bench attack``."""

from ...core.attack.registry import SCENARIOS
from ...core.erase.guards.registry import METHODS as GUARDS
from ...core.erase.registry import METHODS as ERASING
from ..erase.attack import ASKED, LEARNT

ERASERS = [name for name in ERASING if name != "uce"]
"""Methods of erasing beside the one that a bench takes by default."""

TRAINED = [name for name, eraser in ERASING.items() if eraser.trains]
"""Methods of erasing that train."""

BEST_ERASERS = ("uce", "speed", "mace", "realera")
"""Methods of erasing that are measured with three seeds."""

WITH_SYNONYMS = ("uce", "mace")
"""Methods of erasing that are measured with synonyms erased beside the names, too."""

CHANGED = {
    "uce_kept": ("uce", "--set kept_words=32 --set erase_scale=4"),
    "speed_filtered": ("speed", "--set filtered=true --set augmented=10"),
}
"""In the names of files: a method with other settings than the preset's, measured on several objects at once. UCE keeps
words of the vocabulary beside the list, by values that were chosen on ten development objects; SPEED has two parts of
the paper that the preset leaves out."""

KEPT = "uce_kept"
"""One of them, which is measured on one object, styles and colours as well."""

LOOKS = ("style", "colour")
"""What methods erase beside objects."""

ATTACKS_BESIDE = [name for name in SCENARIOS if name not in (*ASKED, "relatives")]
"""Scenarios beside those that ``bench attack`` runs by default, but for narrower terms, which few objects have."""

CONTROLLED = "names,embedding_transferred,inversion_transferred"
"""Scenarios of the controls of ``bench attack``, which train no erased model."""

WITHSTAND = ("few_shot", "esd", "all_but_one")
"""Methods after which a token that the erased model learns for 120 steps draws nothing; it learns for longer, too."""

GUARDED = "names,embedding,inversion"
"""Scenarios of erasures beside guards: its name, and a token and a latent of the erased model."""


def erased() -> dict[str, str]:
    """One object at a time by every method of erasing, and all of :func:`_more_erased`."""
    return {
        "erase.json": "erase --split test --cases 44 --controls 4",
        **{f"erase/{name}.json": f"erase --split test --cases {_cases(name)} --method {name}" for name in ERASERS},
        **_more_erased(),
    }


def _cases(eraser: str) -> int:
    """How many erasures are measured: fewer of a method that trains for each."""
    return 4 if ERASING[eraser].trains else 16


def _more_erased() -> dict[str, str]:
    """Of every method of erasing: 10 objects at once, 30 where nothing is trained for each, styles, and colours. Of
    some: with synonyms on the list, and with further seeds."""
    found: dict[str, str] = {}
    for name, eraser in ERASING.items():
        command = f"erase --split test --cases 4 --method {name}"
        found[f"erase/{name}_10.json"] = f"{command} --concepts 10"
        if not eraser.trains:
            found[f"erase/{name}_30.json"] = f"{command} --concepts 30"
        for what in LOOKS:
            found[f"erase/{name}_{what}s.json"] = f"{command} --what {what}"
    method, changes = CHANGED[KEPT]
    found[f"erase/{KEPT}.json"] = f"erase --split test --cases 16 --method {method} {changes}"
    for what in LOOKS:
        found[f"erase/{KEPT}_{what}s.json"] = f"erase --split test --cases 4 --method {method} --what {what} {changes}"
    for count in (10, 30):
        for name, (method, changes) in CHANGED.items():
            command = f"erase --split test --cases 4 --method {method} --concepts {count} {changes}"
            found[f"erase/{name}_{count}.json"] = command
    for name in WITH_SYNONYMS:
        command = f"erase --split test --cases 12 --method {name} --what object --synonyms listed"
        found[f"erase/{name}_synonyms.json"] = command
    for name in BEST_ERASERS:
        for number in (1, 2):
            command = f"erase --split test --cases 8 --method {name} --what object --seed {number}"
            found[f"erase/{name}_seed{number}.json"] = command
    return found


def attacked() -> dict[str, str]:
    """Every method by the scenarios that ``bench attack`` runs by default and by the others, the best ones with further
    seeds, tokens that are learnt for longer, objects that the model never saw, guards, and the controls."""
    trained, beside = ",".join(TRAINED), ",".join(ATTACKS_BESIDE)
    return {
        "attack.json": "attack --split test --cases 24",
        **{
            f"attack_seed{number}.json": f"attack --split test --cases {4 * len(BEST_ERASERS)} "
            f"--methods {','.join(BEST_ERASERS)} --seed {number}"
            for number in (1, 2)
        },
        "attack_trained.json": f"attack --split test --cases {2 * len(TRAINED)} --methods {trained}",
        "attack_longer.json": f"attack --split test --cases {2 * len(WITHSTAND)} --methods {','.join(WITHSTAND)} "
        "--scenarios embedding --set learn_steps=480",
        "attack_unknown.json": f"attack --split test --cases 4 {LEARNT} --set relearn_steps=200 --set relearn_every=20",
        "attack_more.json": f"attack --split test --cases 24 --scenarios {beside}",
        "attack_more_trained.json": f"attack --split test --cases {2 * len(TRAINED)} --methods {trained} "
        f"--scenarios {beside}",
        "attack_relatives.json": "attack --split test --cases 24 --scenarios relatives",
        **_guarded(),
        "attack_controls.json": f"attack --split test --cases 1 --methods uce --scenarios {CONTROLLED} --controls 1",
    }


def _guarded() -> dict[str, str]:
    """An erasure by UCE attacked without a guard, and with each of those for models that predict noise; and each of
    these alone."""
    names = [name for name in GUARDS if name != "dve"]
    erased, alone = (f"attack --split test --cases 4 --methods {way} --scenarios {GUARDED}" for way in ("uce", "none"))
    return {
        "attack_guard_none.json": erased,
        **{f"attack_guard_{name}.json": f"{erased} --guard {name}" for name in names},
        **{f"attack_guard_{name}_alone.json": f"{alone} --guard {name}" for name in names},
    }
