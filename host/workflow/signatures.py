"""What makes two node runs the same: class, values, fingerprint, and all of that upstream."""

import hashlib
import inspect
import math
import secrets
from typing import Any

from ..schema.standin.node import Hidden, overrides
from .graph import Graph, GraphNode, Link
from .registry import Registry


class Signatures:
    """Signatures of the nodes of one graph; ask in execution order."""

    def __init__(self, graph: Graph, registry: Registry) -> None:
        self._graph, self._registry = graph, registry
        self._known: dict[str, str] = {}

    def of(self, node: GraphNode) -> str:
        """The signature of a node; :meth:`of` must have been asked for its sources before."""
        inputs = [(name, self._input(value)) for name, value in sorted(node.inputs.items())]
        parts = (node.class_type, inputs, self._fingerprint(node), self._identity(node))
        self._known[node.id] = hashlib.sha256(repr(parts).encode()).hexdigest()
        return self._known[node.id]

    def _input(self, value: Any) -> Any:
        return ("link", self._known[value.node], value.slot) if isinstance(value, Link) else ("value", value)

    def _fingerprint(self, node: GraphNode) -> Any:
        cls = self._registry[node.class_type]
        if not overrides(cls, "fingerprint_inputs"):
            return None
        named = inspect.signature(cls.fingerprint_inputs).parameters
        takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in named.values())
        values = {k: None if isinstance(v, Link) else v for k, v in node.inputs.items() if takes_all or k in named}
        mark = cls.fingerprint_inputs(**values)
        return secrets.token_hex() if isinstance(mark, float) and math.isnan(mark) else mark

    def _identity(self, node: GraphNode) -> str | None:
        """Nodes that are not interchangeable with their like: those that say so, and those that know their own id."""
        schema = self._registry.schema(node.class_type)
        return node.id if schema.not_idempotent or schema.is_output_node or Hidden.unique_id in schema.hidden else None
