"""The files of benches, as the page of results reads and names them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...bench.all.queue import queue


def verdict(value: float, aim: float | None) -> str:
    """Whether an aim is reached."""
    return "" if aim is None else "yes" if value >= aim else "no"


def over_seeds(means: Sequence[float]) -> str:
    """The mean of several seeds' means, in brackets the lowest and the highest."""
    return f"{sum(means) / len(means):.2f} [{min(means):.2f} {max(means):.2f}]"


def shown_command(found: Mapping[str, Any], name: str) -> str:
    """The command of a file's figures; with fewer cases than the queue's, and fewer controls, where that many were
    measured."""
    words = _with_number(queue()[name].split(), "--cases", found["cases"])
    tried = (found.get("controls") or {}).values()
    words = _with_number(words, "--controls", next((one.get("cases") for one in tried), 0))
    return f"bench {' '.join(words)}"


def _with_number(words: Sequence[str], option: str, number: int | None) -> list[str]:
    """A command with another number behind an option that it has; without the option for 0, and as it is for None."""
    if option not in words or number is None:
        return list(words)
    at = words.index(option)
    return [*words[:at], *([option, str(number)] if number else []), *words[at + 2 :]]


def read(path: Path) -> dict[str, Any] | None:
    """A bench's file, or None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def missing(name: str) -> str:
    """What is said of a file that is not there."""
    return f"Not measured with these weights yet: `bench {queue()[name]}`."


def with_part(page: str, name: str, text: str) -> str:
    """The page with another text between the two marks of this name. Raises ``ValueError`` where a mark is missing."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page needs the marks {begin} and {end}")
    before, rest = page.split(begin, 1)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}"


def heading(found: Mapping[str, Any], name: str) -> str:
    """How many cases, and the command."""
    return f"{found['cases']} cases, seed {found['seed']}: `{shown_command(found, name)}`."


def controls(found: Mapping[str, Any]) -> str:
    """What a bench's controls found, in a sentence."""
    tried = (found.get("controls") or {}).values()
    said = [f"{entry['says']}, {entry['figure']:.3f} ({entry['at_most']:g} allowed)" for entry in tried]
    return f"Controls: {'; '.join(said)}." if said else ""
