"""``bench all``: every bench whose figures stand in the docs, one after the other.

Finished cases are kept, so that the queue goes on where it was stopped, and a bench that is done takes seconds. The
quick ones come first. ``make bench`` runs the main part: the lab model, localising, learning, erasing by UCE, matching
and scoring. By ``--estimate`` that is 2.2 hours of one core.
"""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ..core.attack.registry import SCENARIOS
from ..core.compose.registry import METHODS as COMPOSING
from ..core.erase.guards.registry import METHODS as GUARDS
from ..core.erase.registry import METHODS as ERASING
from ..core.explain.registry import METHODS as EXPLAINING
from ..core.learn.registry import METHODS as LEARNING
from ..core.localize.registry import METHODS as LOCALIZING
from .erasing.attack import ASKED
from .localize import METHOD as LOCALIZER

log = logging.getLogger("concept_atelier.lab")

FOLDER = Path(__file__).parents[1] / "results"
SEEDS = ("", "--seed 1", "--seed 2")
METHODS = {name: "--classes" * method.class_follows_token for name, method in LEARNING.items()}
"""Method of learning to the further arguments of its bench."""

ATTACKS_BESIDE = [name for name in SCENARIOS if name not in (*ASKED, "relatives")]
"""Scenarios beside those that ``bench attack`` runs by default; the world has no kinds above or below its objects."""

CONTROLLED = "names,embedding_transferred,inversion_transferred"
"""Scenarios of the controls of ``bench attack``, which train no erased model."""

GUARDED = "names,inversion"
"""Scenarios of erasures beside guards: its name, and the latent of the erased model, which needs no training."""

ERASERS = [name for name in ERASING if name != "uce"]
"""Methods of erasing beside the one that a bench takes by default."""


TRAINED = [name for name, eraser in ERASING.items() if eraser.trains]
"""Methods of erasing that train."""

BEST_ERASERS = ("uce", "speed", "mace", "realera")
"""Methods of erasing that are measured with three seeds."""

KEPT_WORDS = "--set kept_words=32 --set erase_scale=4"
"""How UCE keeps words of the vocabulary beside the list; chosen on ten development objects."""

LOOKS = ("style", "colour")
"""What methods erase beside objects."""


def _cases(eraser: str) -> int:
    """How many erasures are measured: fewer of a method that trains for each."""
    return 4 if ERASING[eraser].trains else 16


def _erasures() -> dict[str, str]:
    """Of every method of erasing: 10 objects at once, 30 where nothing is trained for each, styles, and colours."""
    found: dict[str, str] = {}
    for name, eraser in ERASING.items():
        command = f"erase --split test --cases 4 --method {name}"
        found[f"erase/{name}_10.json"] = f"{command} --concepts 10"
        if not eraser.trains:
            found[f"erase/{name}_30.json"] = f"{command} --concepts 30"
        for what in LOOKS:
            found[f"erase/{name}_{what}s.json"] = f"{command} --what {what}"
    for count in (10, 30):
        found[f"erase/uce_kept_{count}.json"] = f"erase --split test --cases 4 --concepts {count} {KEPT_WORDS}"
    for name in BEST_ERASERS:
        for number in (1, 2):
            command = f"erase --split test --cases 8 --method {name} --what object --seed {number}"
            found[f"erase/{name}_seed{number}.json"] = command
    return found


def _guarded() -> dict[str, str]:
    """An erasure by UCE attacked without a guard, and with each of those for models that predict noise."""
    plain = f"attack --split test --cases 4 --methods uce --scenarios {GUARDED}"
    return {"attack_guard_none.json": plain} | {
        f"attack_guard_{name}.json": f"{plain} --guard {name}" for name in GUARDS if name != "dve"
    }


def _compositions() -> dict[str, str]:
    """Stock areas; and of every way of composing two of a kind, learnt tokens, and further seeds, of fewer cases where
    the latent moves."""
    ways = {"plain": "", "area": "--method area", **{name: f"--method {name}" for name in COMPOSING}}
    found = {"compose/area.json": "compose --split test --cases 48 --method area"}
    for name, way in ways.items():
        found[f"compose/{name}_alike.json"] = f"compose --split test --cases 24 --alike {way}"
        found[f"compose/{name}_learnt.json"] = f"compose --split test --cases 12 --learnt {way}"
        moves = name in COMPOSING and COMPOSING[name].preset("small").gradients
        for seed in SEEDS[1:]:
            file = f"compose/{name}_{seed.removeprefix('--').replace(' ', '')}.json"
            found[file] = f"compose --split test --cases {12 if moves else 24} {way} {seed}"
    return found


SURGERY = {"probes": 4, "vectors": 8, "audit": 4, "calibrated": 4, "heads": 4, "skills": 10}
"""Parts of ``bench surgery``, the quick ones first."""

SUBJECTS = "recognise --split test --cases 12"
RECOGNISED = {
    "recognise/own_5.json": f"{SUBJECTS} --controls 4",
    "recognise/own_1.json": f"{SUBJECTS} --examples 1",
    "recognise/own_20.json": f"{SUBJECTS} --examples 20",
    "recognise/own_5_prototypes.json": f"{SUBJECTS} --method prototypes",
    "recognise/any_5.json": f"{SUBJECTS} --look any",
    "recognise/hand_5.json": f"{SUBJECTS} --look hand",
    "recognise/segment.json": "segment --split test --cases 8 --controls 4",
    "recognise/heads.json": "recognise --what heads --split test --cases 4 --controls 2",
    "recognise/words.json": "recognise --what words --split test --cases 6 --controls 2",
    "recognise/captions.json": "recognise --what captions --split test --cases 8 --controls 4",
    "recognise/captions_whole.json": "recognise --what captions --split test --cases 8 --whole",
    "recognise/corrections.json": "recognise --what corrections --split test --cases 6 --controls 2",
    "recognise/dependencies.json": "recognise --what dependencies --split test --cases 12 --controls 4",
    "recognise/decompose.json": "decompose --split test --cases 6 --controls 3",
    "recognise/decompose_3.json": "decompose --split test --cases 6 --strength 3",
}
"""Subjects from one, five and twenty pictures, in their own look, in any style and by another hand; words and their
places; concept heads; classes by words alone; captions with withheld words, by windows and by whole pictures."""

UNSIGNED = ("nmf",)
"""Methods of finding ingredients that need activations without negative values, which no layer of the lab has."""


def _explained() -> dict[str, str]:
    """Every way of finding ingredients, each from three seeds, in the denoiser and in the image tower; whether what
    matters is the object; audits of scenes and of drawings."""
    methods = [name for name in EXPLAINING if name not in UNSIGNED]
    command = "explain --split test --cases 4 --method"
    return {
        **{f"explain/{name}.json": f"{command} {name}" for name in methods},
        **{f"explain/tower_{name}.json": f"{command} {name} --source tower" for name in methods},
        "explain/importance.json": "importance --split test --cases 4",
        "explain/importance_tower.json": "importance --split test --cases 4 --source tower",
        "explain/steer.json": "steer --split test --cases 4",
        "explain/audit.json": "audit --split test --cases 4",
        "explain/audit_drawings.json": "audit --split test --cases 4 --of drawings",
        "explain/audit_fine_tune.json": "audit --split test --cases 4 --of fine-tune",
    }


LOCALIZERS = [name for name in LOCALIZING if name != LOCALIZER]
"""Methods of localising beside the one that a bench takes by default."""


def _localized(localize: str) -> dict[str, str]:
    """Every way of localising on objects of either kind, three seeds each, but for those that :func:`queue` has."""
    commands: dict[str, str] = {}
    ways = {"": "", **{name: f"--method {name}" for name in LOCALIZERS}, "paper": "--preset paper"}
    for way, arguments in ways.items():
        for objects, flag in (("", ""), ("unseen", "--unseen")):
            for seed in SEEDS:
                parts = [way, objects, seed.removeprefix("--").replace(" ", "")]
                if objects or seed:  # what is left stands above
                    name = "_".join(part for part in parts if part)
                    commands[f"localize/{name}.json"] = " ".join((localize, "32", arguments, flag, seed))
    return commands


def _learnt() -> dict[str, str]:
    """Every method of learning with two seeds, and the further presets of ConceptExpress."""
    commands: dict[str, str] = {}
    for method, extra in METHODS.items():
        for seed in SEEDS[:2]:
            name = "_".join(part for part in (method, seed.removeprefix("--").replace(" ", ""), "test") if part)
            controls = "--controls 8" if name == "conceptexpress_test" else ""
            command = ("learn --split test --cases 8 --method", method, extra, seed, controls)
            commands[f"learn/{name}.json"] = " ".join(command)
    commands["learn/conceptexpress_faithful_test.json"] = "learn --split test --cases 4 --preset faithful_small"
    for preset in ("values", "search"):
        command = f"learn --split test --cases 8 --method conceptexpress --preset small_{preset}"
        commands[f"learn/conceptexpress_{preset}_test.json"] = command
        commands[f"learn/conceptexpress_{preset}_seed1_test.json"] = f"{command} --seed 1"
    return commands


def queue() -> dict[str, str]:
    """File of figures, under the folder, to the bench command that makes it."""
    localize = "localize --split test --cases"
    commands = {
        "lab.json": "lab --split test --cases 192 --controls 8",
        "localize.json": f"{localize} 64 --controls 8",
        "score.json": "score --controls 4",
        "data.json": "data --split test --cases 4 --controls 2",
        "data_captions.json": "data --split test --cases 4 --against captions",
        "data_folders.json": "data --split test --cases 10 --folders",
        "data_folders_captions.json": "data --split test --cases 10 --folders --against captions",
        "entangle.json": "entangle --split test --cases 4 --pictures 1 --steps 40",
        "entangle_planted.json": "entangle --split test --cases 4 --steps 240",
        **{f"surgery/{name}.json": f"surgery --split test --part {name} --cases {n}" for name, n in SURGERY.items()},
        "weights.json": "weights --split test --cases 4 --steps 60",
        "prompts.json": "prompts --split test --cases 48",
        "prompts_style.json": "prompts --split test --cases 48 --of style",
        **_explained(),
        **RECOGNISED,
        "words.json": "words --split test --cases 60 --deletion --controls 8",
        "words_short.json": "words --split test --cases 60 --caption short",
        "words_information.json": "words --split test --cases 24 --maps information --deletion",
        "words_alone.json": "words --split test --cases 24 --maps alone",
        "words_redundancy.json": "words --split test --cases 60 --redundancy",
        "words_both.json": "words --split test --cases 24 --maps both --deletion",
        "words_sweep.json": "words --cases 24 --sweep",
        "match.json": "match --cases 60",
        "match_same_style.json": "match --cases 60 --same-style",
        "match_test.json": "match --split test --cases 60",
        "localize_touching.json": f"{localize} 24 --touching",
        "localize_touching_known_count.json": f"{localize} 24 --touching --known-count",
        "localize_alike.json": f"{localize} 24 --alike",
        "localize_known_count.json": f"{localize} 32 --known-count",
        **{f"localize_{name}.json": f"{localize} 32 --method {name}" for name in LOCALIZERS},
        "localize_paper.json": f"{localize} 32 --preset paper",
        "localize_fluent.json": f"{localize} 32 --hand fluent",
        "localize_noto.json": f"{localize} 32 --hand noto",
        "localize_twemoji.json": f"{localize} 32 --hand twemoji",
        "localize_short.json": f"{localize} 32 --caption short",
        "localize_complete.json": f"{localize} 32 --caption complete",
        "erase.json": "erase --split test --cases 44 --controls 4",
        **{f"erase/{name}.json": f"erase --split test --cases {_cases(name)} --method {name}" for name in ERASERS},
        **_erasures(),
        "attack.json": "attack --split test --cases 12",
        "attack_trained.json": f"attack --split test --cases {len(TRAINED)} --methods {','.join(TRAINED)}",
        "attack_more.json": f"attack --split test --cases 6 --scenarios {','.join(ATTACKS_BESIDE)}",
        **_guarded(),
        "attack_controls.json": f"attack --split test --cases 1 --methods uce --scenarios {CONTROLLED} --controls 1",
        "compose.json": "compose --split test --cases 48 --controls 6",
        **{f"compose/{name}.json": f"compose --split test --cases 48 --method {name}" for name in COMPOSING},
        **{
            f"compose/{name}_found.json": f"compose --split test --cases 48 --method {name} --regions found"
            for name, record in COMPOSING.items()
            if "regions" in record.needs
        },
        **_compositions(),
    }
    commands |= {**_localized(localize), **_learnt()}
    return {name: " ".join(command.split()) for name, command in commands.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``bench all``."""
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder of figures (default: the pack's own)")
    parser.add_argument(
        "--only", metavar="START", nargs="+", default=[""], help="files that begin so, as in localize or learn/"
    )
    parser.add_argument("--list", action="store_true", help="print the commands and run none")
    parser.add_argument(
        "--estimate", action="store_true", help="measure two cases of each and say how long all take on one core"
    )


def main(args: argparse.Namespace) -> int:
    """Run the queue, or print it; returns 1 when a control did not fall. ``args.run`` runs a command of the pack."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    commands = {name: command for name, command in queue().items() if name.startswith(tuple(args.only))}
    if args.list:
        for name, command in commands.items():
            sys.stdout.write(f"bench {command} --json {name}\n")
        return 0
    if args.estimate:
        return estimate_queue(commands, args.run)
    return run_queue(commands, args.to, args.run)


def estimate_queue(commands: Mapping[str, str], run: Callable[[Sequence[str]], int]) -> int:
    """Measure a few cases of the commands, and print what each takes and the hours that all take; returns the worst
    exit status. Of commands that differ in seed and number of cases alone, the first is measured."""
    worst, seconds = 0, {}
    measured: dict[str, tuple[int, dict[str, float]]] = {}
    with TemporaryDirectory() as folder:
        for number, (name, command) in enumerate(commands.items(), 1):
            work, cases = _work_of(command)
            if work not in measured:
                path = Path(folder) / f"{number}.json"
                _say(f"{number} of {len(commands)}: measuring bench {command}")
                status = run(["bench", *command.split(), "--estimate", "--json", str(path)])
                if status > 1:  # stopped
                    return status
                worst = max(worst, status)
                if not path.exists():
                    continue
                measured[work] = cases, json.loads(path.read_text(encoding="utf-8"))
            counted, cost = measured[work]
            seconds[name] = cost["whole_s"] + (cases - counted) * cost.get("case_s", 0.0)
            _say(f"{name}: {seconds[name] / 60:.1f} minutes")
    _say(f"{len(seconds)} of {len(commands)} commands: {sum(seconds.values()) / 3600:.1f} hours of one core")
    return worst


def _work_of(command: str) -> tuple[str, int]:
    """What a case of a command does, and how many it has: its words without seed and number of cases."""
    words, cases = command.split(), 0
    for option in ("--seed", "--cases"):
        if option in words:
            at = words.index(option)
            cases = int(words[at + 1]) if option == "--cases" else cases
            del words[at : at + 2]
    return " ".join([*words, "--cases"] if cases else words), cases


def _say(line: str) -> None:
    """Print a line at once: estimates take minutes, and their output is often piped."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_queue(commands: Mapping[str, str], folder: Path, run: Callable[[Sequence[str]], int]) -> int:
    """Run every command, its figures to a file of the folder; returns the worst exit status."""
    worst = 0
    for number, (name, command) in enumerate(commands.items(), 1):
        log.info("%d of %d: bench %s", number, len(commands), command)
        status = run(["bench", *command.split(), "--json", str(folder / name)])
        if status > 1:  # stopped
            return status
        worst = max(worst, status)
    return worst
