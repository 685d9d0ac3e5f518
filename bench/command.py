"""The command line that all benches share."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..core.backbone import Backbone
from ..core.settings import OLD_SETTINGS
from ..host.files.saving import save_json
from ..host.shared.handles import ClipHandle, ModelHandle, VaeHandle
from ..host.workflow.fan_out import ENGINES
from ..lab.world.atlas import SPLITS
from .controls import Control, controls_table, run_controls
from .estimate import estimate
from .harness import CACHE, TRANSFORMER, Bench, Request, run


def add_common_arguments(parser: argparse.ArgumentParser, cases: int) -> None:
    """The arguments of every bench; ``cases`` is the default number."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument("--seed", type=int, default=0, help="of scenes and noise (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=cases, help="number of cases (default: %(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="development", help="default: %(default)s")
    parser.add_argument(
        "--model", type=Path, help="model folder, or transformer for the lab transformer; default: the lab UNet"
    )
    parser.add_argument("--untrained", action="store_true", help="random weights: the control, figures must collapse")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help="where finished cases are kept (default: %(default)s)"
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default="local", help="ray: over a Ray cluster, where Ray is installed"
    )
    parser.add_argument(
        "--controls", type=int, default=0, metavar="N", help="also run every control of this bench on N cases"
    )
    parser.add_argument("--fresh", action="store_true", help="neither read nor keep finished cases")
    parser.add_argument(
        "--estimate", action="store_true", help="measure two cases and say how long all of them take on one core"
    )


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """``--set NAME=VALUE``, as often as wanted; read it with :func:`chosen_settings`."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of the method, the value as JSON"
    )


def chosen_settings(args: argparse.Namespace, preset: Any) -> dict[str, Any]:
    """What ``--set`` was given, for settings like those of ``preset``, a dataclass.

    Raises:
        ValueError: for what is not a name, an equals sign and JSON, and for a setting that does not exist.
    """
    chosen, known = {}, [field.name for field in fields(preset)]
    for entry in args.set:
        name, _, value = entry.partition("=")
        name = OLD_SETTINGS.get(name, name)
        try:
            chosen[name] = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"--set wants NAME=VALUE, the value as JSON (text in quotes), got {entry!r}") from error
        if name not in known:
            raise ValueError(f"there is no setting {name!r} to --set; there are {', '.join(known)}")
    return chosen


def run_command(
    bench: Bench, args: argparse.Namespace, options: Mapping[str, Any], controls: Sequence[Control] = ()
) -> int:
    """Run the bench as asked and print its tables; returns the exit status: 1 when a control does not fall.

    With ``--estimate`` only its duration is printed and written.
    """
    transformer = args.model == Path(TRANSFORMER)  # a name, where others are folders
    model = TRANSFORMER if transformer else str(args.model.resolve()) if args.model else ""
    request = Request(args.cases, args.seed, args.split, model, args.untrained, options)
    if args.estimate:
        cost = estimate(bench, request, controls, args.controls)
        if args.json:
            cost.save(args.json)
        sys.stdout.write(f"bench {bench.name}: {cost.cases} cases take {cost.seconds / 60:.1f} minutes\n")
        return 0
    cache, engine = None if args.fresh else args.cache, ENGINES[args.engine]
    result = run(bench, request, cache=cache, engine=engine, progress=show_progress)
    found = {}
    if args.controls:
        found = run_controls(bench, controls, request, args.controls, cache=cache, engine=engine)
        result["controls"] = found
    if args.json:
        save_json(args.json, result)
    sys.stdout.write(bench.table(result) + (controls_table(found) if found else ""))
    return 0 if all(control["falls"] for control in found.values()) else 1


def backbone_for(request: Request) -> Backbone:
    """The model that is asked for."""
    return load_backbone(Path(request.model) if request.model else None, request.untrained)


def load_backbone(folder: Path | None = None, untrained: bool = False) -> Backbone:
    """The lab model of a folder (default: the one that ships), or its modules at random weights."""
    from ..host.adapters import backbone_of

    return backbone_of(*load_parts(folder, untrained))


def load_parts(folder: Path | None = None, untrained: bool = False) -> tuple[ModelHandle, ClipHandle, VaeHandle]:
    """MODEL, CLIP and VAE of :func:`load_backbone`."""
    from ..lab.model.handles import handles, load_handles, transformer_handles
    from ..lab.model.modules import build_modules
    from ..lab.model.transformer import untrained_transformer
    from ..lab.model.weights import load_lab_model

    transformer = folder == Path(TRANSFORMER)
    if untrained and transformer:
        return transformer_handles(untrained_transformer(), load_lab_model())
    if untrained:
        return handles(build_modules(seed=0))
    if transformer:
        return load_handles(denoiser=TRANSFORMER)
    return load_handles(folder) if folder else load_handles()


def show_progress(done: int, total: int) -> None:
    """A counter on the terminal, where there is one."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} cases" + ("\n" if done == total else ""))
        sys.stderr.flush()
