"""Running workflows without ComfyUI."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.files.writing import check_folder
from ...core.messages import listed
from ..files import folders, saving
from ..schema.standin.node import ComfyNode, Hidden
from ..shared import progress
from ..shared.interrupts import on_stop, stop_here
from .checking import check, ignored_inputs, left_out
from .execution import Cache, Execution, NodeFailedError, Results
from .graph import Graph, GraphNode, find_node, to_api
from .overrides import apply_overrides
from .page_texts import resolve_texts
from .passing import without_passing
from .reading import Workflow, load_workflow
from .registry import Registry
from .stock import STOCK_NODES
from .terminal import Quiet, Reporter


class StoppedRunError(progress.InterruptedRun):
    """The run was stopped on request; ``result`` holds what was finished."""

    def __init__(self, result: "RunResult") -> None:
        done = listed((str(result.graph[key]) for key in result.results), letters=300) or "nothing"
        super().__init__(f"stopped on request; finished: {done}")
        self.result = result


@dataclass
class RunResult:
    """What a run left.

    Attributes:
        graph: what was executed, overrides applied.
        results: node id to its result, in the order they ran.
        warnings: what was odd but harmless.
    """

    graph: Graph
    results: Results = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def output(self, node: str, slot: int = 0) -> Any:
        """An output of a node named by id, title or class (the first value, where it ran for a list)."""
        return self.results[self._key(node)].outputs[slot][0]

    def texts(self, node: str | None = None) -> list[str]:
        """Texts that nodes (or one of them) showed."""
        keys = self.results if node is None else [self._key(node)]
        return [str(text) for key in keys for text in self.results[key].ui.get("text", ())]

    def said(self) -> list[str]:
        """Texts that nodes showed, each behind the title of its node; further lines of a text are indented."""
        return [
            f"{self.graph[key].title}: {text}".replace("\n", "\n  ")
            for key, result in self.results.items()
            for text in result.ui.get("text", ())
        ]

    def files_of(self, node: str) -> tuple[Path, ...]:
        """Files that a node wrote."""
        return self.results[self._key(node)].files

    @property
    def files(self) -> tuple[Path, ...]:
        """Files written, in order."""
        return tuple(dict.fromkeys(path for result in self.results.values() for path in result.files))

    @property
    def blocked(self) -> dict[str, str]:
        """Ids of nodes that did not run because another one said so, to its reason."""
        found = {key: result.blocked for key, result in self.results.items()}
        return {key: why.reason for key, why in found.items() if why is not None and why.by != key}

    def _key(self, name: str) -> str:
        return find_node({key: self.graph[key] for key in self.results}, name).id


def run_workflow(
    source: Workflow | Mapping[str, Any] | str | Path,
    overrides: Mapping[str, Any] | None = None,
    out: Path | str = "output",
    *,
    input: Path | str | Sequence[Path] | None = None,
    nodes: Iterable[type[ComfyNode]] = STOCK_NODES,
    cache: Cache | None = None,
    reporter: Reporter | None = None,
    prompt_seed: int = 0,
) -> RunResult:
    """Check and run a workflow.

    Args:
        source: a file, or a workflow in UI or API format.
        overrides: ``NODE.INPUT`` (id, title or class name) to a value.
        out: folder for results; previews go to ``temp``, models to ``models`` in it.
        input: folder with pictures, or several, the first that has one wins; default :func:`picture_folders`.
        nodes: classes that the workflow may name, ``nodes.headless.HEADLESS_NODES`` for all; default the stock ones.
        cache: results to reuse from earlier runs with the same dictionary.
        reporter: called with progress; default none.
        prompt_seed: which alternatives of ``{one|other}`` the prompts of a UI workflow take.

    Raises:
        WorkflowError: naming everything that is wrong, before anything runs.
        OSError: where nothing can be written into ``out``, before anything runs.
        NodeFailedError: when a node raises; ``result`` holds what was finished.
        StoppedRunError: on Ctrl-C or SIGTERM (the first; a second one is an ordinary ``KeyboardInterrupt``).
    """
    workflow, reporter = load_workflow(source), reporter or Quiet()
    with ExitStack() as stack:
        stack.enter_context(saving.run())
        stack.enter_context(folders.use(_folders_for(workflow, out, input)))
        registry = Registry(nodes)  # now: combos list the folders in force
        checked, notes = _checked(workflow, overrides or {}, registry, prompt_seed)
        check_folder(Path(out))
        result = RunResult(checked, warnings=notes)
        session = stack.enter_context(progress.use(progress.Session(report=reporter.step, note=reporter.note)))
        stack.enter_context(_stop_on_signal(session, reporter))
        stack.callback(reporter.close)
        hidden = {Hidden.prompt: to_api(checked), Hidden.extra_pnginfo: workflow.picture_metadata()}
        execution = Execution(checked, registry, hidden, reporter.node, {} if cache is None else cache)
        _run(execution, result)
    return result


def check_workflow(
    source: Workflow | Mapping[str, Any] | str | Path,
    overrides: Mapping[str, Any] | None = None,
    out: Path | str = "output",
    *,
    input: Path | str | Sequence[Path] | None = None,
    nodes: Iterable[type[ComfyNode]] = STOCK_NODES,
    prompt_seed: int = 0,
) -> tuple[str, ...]:
    """Check a workflow as :func:`run_workflow` does, without running it; returns what is odd but harmless.

    Raises:
        WorkflowError: naming everything that is wrong.
    """
    workflow = load_workflow(source)
    with folders.use(_folders_for(workflow, out, input)):
        return _checked(workflow, overrides or {}, Registry(nodes), prompt_seed)[1]


def _checked(
    workflow: Workflow, overrides: Mapping[str, Any], registry: Registry, prompt_seed: int
) -> tuple[Graph, tuple[str, ...]]:
    """The graph, ready to run, and what is odd but harmless."""
    read, notes = workflow.read(registry)
    sent = resolve_texts(apply_overrides(read, overrides, registry), registry, prompt_seed, drawn=workflow.is_drawn)
    graph = without_passing(sent.graph, registry)
    checked = check(graph, registry)
    return checked, (*notes, *sent.notes, *left_out(graph, registry), *ignored_inputs(graph, registry))


def _run(execution: Execution, result: RunResult) -> None:
    try:
        execution.run(result.results)
    except NodeFailedError as error:
        error.result, error.said = result.results, result.said()
        raise
    except progress.InterruptedRun:
        raise StoppedRunError(result) from None


def picture_folders(workflow: Path | None) -> tuple[Path, ...]:
    """Where pictures are looked up by default: ``input`` here, then ``input`` beside the workflow file."""
    return (Path("input"), *((workflow.parent / "input",) if workflow else ()))


def _folders_for(workflow: Workflow, out: Path | str, input: Path | str | Sequence[Path] | None) -> folders.Folders:
    if input is None:
        pictures = picture_folders(workflow.path)
    else:
        pictures = (Path(input),) if isinstance(input, str | Path) else tuple(input)
    return folders.headless(out, pictures)


def _stop_on_signal(session: progress.Session, reporter: Reporter) -> AbstractContextManager[None]:
    """The first Ctrl-C or SIGTERM asks the run to stop at its next step, the second one stops it where it is."""

    def ask() -> None:
        if session.stop:
            stop_here()
        session.stop = True
        reporter.note("stopping after this step (Ctrl-C again: at once)")

    return on_stop(ask)


__all__ = ["GraphNode", "NodeFailedError", "RunResult", "StoppedRunError", "run_workflow"]
