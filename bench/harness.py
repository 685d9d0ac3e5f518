"""How every bench runs: cases one by one, each kept as soon as it is done, then a summary.

A case is a function of the request and its number alone. Rows are kept in a file whose name says what decided them
(request, code, data, weights): an interrupted run goes on where it stopped, and a longer one only adds cases.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..host.workflow.fan_out import in_process
from ..lab.judge.judge import FOLDER as JUDGE
from ..lab.model.weights import WEIGHTS

Row = dict[str, Any]
Progress = Callable[[int, int], None]
"""Told how many cases are done, of how many."""

PACKAGE = Path(__file__).parents[1]
CACHE = Path("~/.cache/concept-atelier/bench").expanduser()

DATA, READ = ("lab/world", "lab/model"), frozenset({".json", ".png", ".txt"})
"""Where the world's objects and icons and the tokenizer lie, and how their files end."""

TRANSFORMER = "transformer"
"""In place of a model folder: the lab's model with its transformer."""


@dataclass(frozen=True)
class Request:
    """What decides the figures.

    Attributes:
        cases: how many; rows do not depend on it.
        seed: of scenes, noise and baselines.
        split: ``train``, ``development`` or ``test``.
        model: folder of the model; empty for the one that ships, ``TRANSFORMER`` for its transformer.
        untrained: random weights instead, the control.
        options: the bench's own, as JSON can hold them.
    """

    cases: int
    seed: int = 0
    split: str = "development"
    model: str = ""
    untrained: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cases < 1:
            raise ValueError(f"the bench needs at least 1 case, got {self.cases}")


@dataclass(frozen=True)
class Bench:
    """A measurement.

    Attributes:
        name: as on the command line.
        schema: version of the rows and the summary in JSON.
        prepare: loads what all cases need (model, judge).
        measure: one case: what was prepared, the request, the case's number; gives a row that JSON can hold.
        summarise: rows and request to figures.
        table: a result of :func:`run` as text.
        headline: a summary to its few figures by name, without intervals.
    """

    name: str
    schema: int
    prepare: Callable[[Request], Any]
    measure: Callable[[Any, Request, int], Row]
    summarise: Callable[[Sequence[Row], Request], dict[str, Any]]
    table: Callable[[Mapping[str, Any]], str]
    headline: Callable[[Mapping[str, Any]], dict[str, Any]] = dict


Engine = Callable[[Callable[[], Callable[[int], Row]], Iterable[int]], Iterator[tuple[int, Row]]]
"""Works off cases and gives each row with its number as soon as it is there, in any order; see
``host.workflow.fan_out``."""


def prepared(bench: Bench, request: Request) -> Callable[[int], Row]:
    """Load what all cases need; the function that measures one of them."""
    return partial(bench.measure, bench.prepare(request), request)


def run(
    bench: Bench,
    request: Request,
    *,
    cache: Path | None = None,
    engine: Engine = in_process,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a bench.

    Args:
        cache: folder for the rows; None keeps none.
        engine: who works off the cases that are not there yet.

    Returns:
        what JSON holds: ``bench``, ``schema``, the request, ``rows`` by case, ``figures`` and the ``summary``.
    """
    store = RowStore(cache / f"{bench.name}-{digest(bench, request)}.jsonl" if cache else None)
    rows = {index: row for index, row in store.rows.items() if index < request.cases}
    missing = [index for index in range(request.cases) if index not in rows]
    if missing:
        for index, row in engine(partial(prepared, bench, request), missing):
            rows[index] = store.add(index, row)
            if progress is not None:
                progress(len(rows), request.cases)
    ordered = [rows[index] for index in range(request.cases)]
    asked = {"cases": request.cases, "seed": request.seed, "split": request.split, "options": dict(request.options)}
    model = {"model": request.model, "untrained": request.untrained}
    summary = bench.summarise(ordered, request)
    figures = {"figures": bench.headline(summary), "summary": summary}
    return {"bench": bench.name, "schema": bench.schema, **asked, **model, "rows": ordered, **figures}


class RowStore:
    """Rows on disk, one line of JSON each, added as they come; a line that a kill cut short is passed over."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: dict[int, Row] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def add(self, index: int, row: Row) -> Row:
        """Keep a row, and return it as JSON gives it back, so that fresh rows equal kept ones."""
        line = json.dumps({"index": index, "row": row})
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}")  # the line break first: after a cut line it starts a new one
                file.flush()
                os.fsync(file.fileno())
        self._read(line)
        return self.rows[index]

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            return
        self.rows[entry["index"]] = entry["row"]


def digest(bench: Bench, request: Request) -> str:
    """16 hexadecimal digits of all that decides a row: the bench, the request but its length, and what
    :func:`digest_of` takes."""
    return digest_of([bench.name, bench.schema, request.seed, dict(request.options)], request)


def digest_of(asked: Sequence[Any], request: Request) -> str:
    """16 hexadecimal digits of what JSON can hold, of the request's split and model, and of code, the world's icons and
    words, the tokenizer, and weights."""
    transformer = request.model == TRANSFORMER  # whose weights lie in the same folder
    folder = WEIGHTS if transformer else Path(request.model or WEIGHTS)
    model = [TRANSFORMER] if transformer else []
    text = json.dumps([*asked, request.split, request.untrained, *model], sort_keys=True)
    code = [path for room in ("core", "host", "lab", "training", "bench") for path in (PACKAGE / room).rglob("*.py")]
    read = [path for place in DATA for path in (PACKAGE / place).rglob("*") if path.suffix in READ]
    weights = [path for place in (folder, JUDGE) for path in place.rglob("*.safetensors")]
    state = hashlib.sha256(text.encode())
    for path in sorted({*code, *read, *weights}):
        state.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()[:16]
