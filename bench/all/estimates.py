"""``bench all --estimate``: how long the commands of the queue take."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory


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
