"""Changing inputs of a workflow from outside: ``NODE.INPUT=VALUE``."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ...core.messages import listed, plain, shown
from .graph import Graph, GraphNode, WorkflowError, find_node
from .registry import Registry
from .values import BadValueError, as_type, parse_text


def apply_overrides(graph: Graph, overrides: Mapping[str, Any], registry: Registry) -> dict[str, GraphNode]:
    """The graph with inputs replaced.

    Args:
        overrides: ``NODE.INPUT`` (node id, title or class name, then the input's id) to a value. Texts are read in the
            input's type; a link in that place goes.

    Raises:
        WorkflowError: for nodes or inputs that do not exist or are ambiguous, and for values of the wrong type.
    """
    changed, problems = dict(graph), []
    for target, value in overrides.items():
        try:
            node = _override(changed, target, value, registry)
            changed[node.id] = node
        except (LookupError, BadValueError) as error:
            problems.append(f"setting {plain(target)}: {error.args[0]}")
    if problems:
        raise WorkflowError(problems)
    return changed


def _override(graph: Graph, target: str, value: Any, registry: Registry) -> GraphNode:
    name, _, input_id = target.rpartition(".")
    node = find_node(graph, name)
    if node.class_type not in registry and input_id in node.inputs:
        return node.with_input(input_id, _like(node.inputs[input_id], value))
    entry = registry.input(node.class_type, input_id) if node.class_type in registry else None
    if entry is None:
        known: Iterable[str] = node.inputs
        if node.class_type in registry:
            known = [entry.id for entry in registry.schema(node.class_type).inputs]
        near = difflib.get_close_matches(input_id, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise LookupError(f"{node} has no input {shown(input_id)}, it has {listed(known) or 'none'}{hint}")
    return node.with_input(input_id, parse_text(value, entry) if isinstance(value, str) else value)


def _like(present: Any, value: Any) -> Any:
    """A typed value in the type that is there now, for nodes whose class is not known, such as switches."""
    kinds = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}
    kind = kinds.get(type(present))
    return as_type(value, kind) if isinstance(value, str) and kind else value
