"""Running a checked graph: node by node, only what the outputs need."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import torch

from ...core.messages import paragraph
from ..files.saving import record_written
from ..schema.standin.node import ComfyNode, Hidden, NodeOutput, Schema, UIOutput
from ..shared.progress import InterruptedRun, check_interrupt
from .checking import execution_order
from .graph import Graph, GraphNode, Link
from .registry import Registry
from .signatures import Signatures


class NodeFailedError(RuntimeError):
    """A node raised; the cause is its exception. ``result`` holds what was finished before, ``said`` what it said."""

    def __init__(self, node: GraphNode, error: BaseException) -> None:
        super().__init__(f"{node} failed: {_sentence(error)}")
        self.node, self.result = node, Results()
        self.said: list[str] = []


def _sentence(error: BaseException) -> str:
    """What an error says; the name of its class stands before those whose text alone does not explain them."""
    said = paragraph(str(error))
    explains = isinstance(error, (ValueError, OSError, RuntimeError)) and said
    return said if explains else f"{type(error).__name__}: {said}"


@dataclass(frozen=True)
class Blocked:
    """Stands where an output would be when a node said that nothing downstream should run."""

    by: str
    reason: str


@dataclass
class NodeResult:
    """What one node left.

    Attributes:
        outputs: for each output, the values of all runs of the node (one, unless it was fed lists).
        ui: what to show, key to entries.
        files: what it wrote.
        blocked: why it was not run, or why it blocks what comes after it.
    """

    outputs: tuple[list[Any], ...]
    ui: dict[str, list[Any]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    blocked: Blocked | None = None


Results = dict[str, NodeResult]
Cache = dict[str, NodeResult]
"""Signature (class, values, fingerprints, upstream) to what a node left; kept by the caller from run to run."""


@dataclass(frozen=True)
class Execution:
    """A run about to happen.

    Attributes:
        graph: a graph that :func:`~.checking.check` returned.
        hidden: what nodes may ask for besides their id: the prompt, and what pictures carry besides it.
        started: called with each node and its (index, count) when its turn comes.
        cache: results of earlier runs, read and added to; output nodes always run.
    """

    graph: Graph
    registry: Registry
    hidden: Mapping[Hidden, Any] = field(default_factory=dict)
    started: Callable[[GraphNode, int, int], None] = lambda node, index, count: None
    cache: Cache = field(default_factory=dict)

    def run(self, results: Results) -> None:
        """Run, filling ``results`` node by node, so that the caller keeps what was done when the run stops early.

        Raises:
            NodeFailedError: when a node raises.
            InterruptedRun: when the run was asked to stop.
        """
        order = execution_order(self.graph, self.registry)
        signatures = Signatures(self.graph, self.registry)
        for index, key in enumerate(order):
            check_interrupt()
            node = self.graph[key]
            self.started(node, index, len(order))
            with _NamingTheNode(node):
                results[key] = self._result_of(node, results, signatures)

    def _result_of(self, node: GraphNode, results: Results, signatures: Signatures) -> NodeResult:
        schema = self.registry.schema(node.class_type)
        signature = signatures.of(node)
        if schema.is_output_node or signature not in self.cache:
            self.cache[signature] = self._run_node(node, schema, results)
        return self.cache[signature]

    def _run_node(self, node: GraphNode, schema: Schema, results: Results) -> NodeResult:
        inputs = {name: _gather(value, results) for name, value in self._known_inputs(node, schema).items()}
        blocked = next((v for values in inputs.values() for v in values if isinstance(v, Blocked)), None)
        if blocked:
            return NodeResult(tuple([blocked] for _ in schema.outputs), blocked=blocked)
        cls = self.registry[node.class_type].PREPARE_CLASS_CLONE(self._hidden_for(node, schema))
        with record_written() as written, torch.inference_mode():
            made = [_call(cls, arguments) for arguments in _runs(inputs, schema.is_input_list)]
        return _collect(node, schema, made, tuple(written))

    @staticmethod
    def _known_inputs(node: GraphNode, schema: Schema) -> dict[str, Any]:
        known = {entry.id for entry in schema.inputs}
        return {name: value for name, value in node.inputs.items() if name in known}

    def _hidden_for(self, node: GraphNode, schema: Schema) -> dict[Hidden, Any]:
        available = {**self.hidden, Hidden.unique_id: node.id}
        return {hidden: available.get(hidden) for hidden in schema.hidden}


@dataclass
class _NamingTheNode:
    """Says which node an exception came from; a wish to stop is no failure of the node."""

    node: GraphNode

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, InterruptedRun):
            raise NodeFailedError(self.node, error) from error


def _gather(value: Any, results: Results) -> list[Any]:
    return results[value.node].outputs[value.slot] if isinstance(value, Link) else [value]


def _runs(inputs: Mapping[str, Sequence[Any]], whole_lists: bool) -> list[dict[str, Any]]:
    """The arguments of each run: whole lists in one, or one run per element, shorter lists repeating their last."""
    if whole_lists:
        return [{name: list(values) for name, values in inputs.items()}]
    count = max((len(values) for values in inputs.values()), default=1)
    if any(not values for values in inputs.values()):
        return []
    return [{name: values[min(i, len(values) - 1)] for name, values in inputs.items()} for i in range(count)]


def _call(cls: type[ComfyNode], arguments: dict[str, Any]) -> NodeOutput:
    returned: Any = cls.execute(**arguments)
    if inspect.iscoroutine(returned):
        returned = asyncio.run(returned)
    if returned is None:
        return NodeOutput()
    if isinstance(returned, tuple):
        return NodeOutput(*returned)
    if not isinstance(returned, NodeOutput):
        raise TypeError(f"execute must return io.NodeOutput, a tuple or None, got {type(returned).__name__}")
    if returned.expand is not None:
        raise TypeError("nodes that expand into other nodes run in ComfyUI only")
    return returned


def _collect(node: GraphNode, schema: Schema, made: list[NodeOutput], files: tuple[Path, ...]) -> NodeResult:
    result = NodeResult(tuple([] for _ in schema.outputs), files=files)
    for output in made:
        if output.block_execution is not None:
            result.blocked = Blocked(node.id, output.block_execution)
        _add_outputs(schema, output, result)
        for key, entries in _ui_entries(output.ui).items():
            result.ui.setdefault(key, []).extend(entries)
    return result


def _add_outputs(schema: Schema, output: NodeOutput, result: NodeResult) -> None:
    if output.block_execution is None and len(output.args) != len(schema.outputs):
        raise TypeError(f"execute returned {len(output.args)} outputs, the schema has {len(schema.outputs)}")
    for position, entry in enumerate(schema.outputs):
        value = result.blocked if output.block_execution is not None else output.args[position]
        spread = entry.is_output_list and output.block_execution is None
        result.outputs[position].extend(cast(Iterable[Any], value) if spread else [value])


def _ui_entries(ui: UIOutput | Mapping[str, Any] | None) -> dict[str, Sequence[Any]]:
    return dict(ui.as_dict() if isinstance(ui, UIOutput) else ui or {})
