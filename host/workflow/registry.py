"""The node classes a workflow may name."""

from collections.abc import Iterable, Iterator, Mapping

from ...core.messages import shown
from ..schema.standin.node import ComfyNode, Schema
from ..schema.standin.sockets import Input


class Registry(Mapping[str, type[ComfyNode]]):
    """Class name to node class, with the schemas as they were when the registry was made.

    Schemas are asked for once: combos list files, and a list that changes during a run would confuse.
    """

    def __init__(self, nodes: Iterable[type[ComfyNode]]) -> None:
        self._schemas: dict[str, Schema] = {}
        self._nodes: dict[str, type[ComfyNode]] = {}
        for node in nodes:
            schema = node.GET_SCHEMA()
            if schema.node_id in self._nodes:
                raise ValueError(
                    f"two node classes are called {shown(schema.node_id)}: {self[schema.node_id]} and {node}"
                )
            self._schemas[schema.node_id], self._nodes[schema.node_id] = schema, node

    def __getitem__(self, name: str) -> type[ComfyNode]:
        return self._nodes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def schema(self, name: str) -> Schema:
        """The schema of a node class."""
        return self._schemas[name]

    def input(self, name: str, input_id: str) -> Input | None:
        """An input of a node class, or None where it has none of that name."""
        return next((entry for entry in self._schemas[name].inputs if entry.id == input_id), None)
