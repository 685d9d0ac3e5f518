"""Embeddings that the texts of a workflow name, looked up before anything runs."""

from collections.abc import Iterator

from ..files.embeddings import missing_in
from .graph import Graph, GraphNode
from .registry import Registry

WRITERS = frozenset({"ConceptAtelierSaveConceptTokens"})
"""Nodes that write embeddings: what a run with one of them will find is not known before."""


def missing_embeddings(graph: Graph, registry: Registry) -> list[str]:
    """A line for each embedding that is named in a text of a node with a text encoder and lies in no folder.

    Args:
        graph: the nodes that run; texts that are linked are not known yet and pass.
    """
    if any(node.class_type in WRITERS for node in graph.values()):
        return []
    return [line for node in graph.values() for line in _missing(node, registry)]


def _missing(node: GraphNode, registry: Registry) -> Iterator[str]:
    inputs = registry.schema(node.class_type).inputs
    if not any(entry.get_io_type() == "CLIP" for entry in inputs):
        return
    for entry in inputs:
        text = node.inputs.get(entry.id)
        if entry.get_io_type() == "STRING" and isinstance(text, str):
            yield from (f'{node}, input "{entry.id}": {said}' for said in missing_in(text))
