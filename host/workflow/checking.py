"""Checking a whole graph before anything runs, and saying everything that is wrong with it at once."""

import difflib
import inspect
from collections.abc import Iterable, Iterator, Sequence

from ...core.messages import MAX_LETTERS, MAX_SHOWN, plain, shown
from ..schema.standin.node import ComfyNode, overrides
from ..schema.standin.sockets import Input
from .embedding_names import missing_embeddings
from .graph import Broken, Graph, GraphNode, Link, WorkflowError
from .registry import Registry
from .values import BadValueError, as_type, check_range
from .widgets import has_widget

GROUP_NODES = ("workflow>", "workflow/")
"""How the classes of group nodes begin, which older pages had in place of subgraphs."""


def check(graph: Graph, registry: Registry) -> dict[str, GraphNode]:
    """The graph with every value in its type (``"5"`` for a number becomes 5), ready to run.

    Nodes that no output needs are not checked: they may be of unknown classes and linked to nothing.

    Raises:
        WorkflowError: naming for each problem the node, the input, what was expected and what was given.
    """
    outputs = _outputs(graph, registry)
    needed = _needed(graph, outputs)
    problems = [*_unknown_nodes(needed if outputs else graph, registry), *_loose_links(graph, needed, registry)]
    if not outputs and not problems:
        problems.append("nothing to do: no node shows or saves anything (add a Save Image or a Preview node)")
    problems.extend(_cycles(needed))
    if problems:
        raise WorkflowError(dict.fromkeys(problems))
    checked = {key: _check_node(graph[key], graph, registry, problems) for key in execution_order(graph, registry)}
    problems.extend(missing_embeddings(checked, registry))
    if problems:
        raise WorkflowError(problems)
    return {key: checked.get(key, node) for key, node in graph.items()}


def execution_order(graph: Graph, registry: Registry) -> list[str]:
    """Ids of the output nodes and all they need, each after its sources. That part must be free of cycles."""
    order: dict[str, None] = {}
    for node in _outputs(graph, registry):
        _visit(node, graph, order)
    return list(order)


def left_out(graph: Graph, registry: Registry) -> list[str]:
    """One line for each node of an unknown class that no output needs, or, if it is an output, does not run here."""
    needed = _needed(graph, _outputs(graph, registry))
    unknown = [node for node in graph.values() if node.class_type not in registry and node.id not in needed]
    lines = [
        f"{node} is left out: nothing that runs needs it, and its class is not known here"
        f"{_nearest(node.class_type, registry)}"
        for node in unknown[:MAX_SHOWN]
    ]
    more = len(unknown) - MAX_SHOWN
    return lines if more <= 0 else [*lines, f"and {more} more nodes of unknown classes are left out"]


def ignored_inputs(graph: Graph, registry: Registry) -> list[str]:
    """One line for each input that is given but that its node does not have (ComfyUI ignores them, too)."""
    return [
        f'{node} has no input "{plain(name)}"; it is ignored'
        for node in graph.values()
        if node.class_type in registry
        for name in node.inputs
        if registry.input(node.class_type, name) is None and name not in ("upload", "choose file to upload")
    ]


def _outputs(graph: Graph, registry: Registry) -> list[GraphNode]:
    return [n for n in graph.values() if n.class_type in registry and registry.schema(n.class_type).is_output_node]


def _needed(graph: Graph, outputs: Iterable[GraphNode]) -> dict[str, GraphNode]:
    """The outputs and all that they are linked to, directly or not, in the graph's order."""
    found, waiting = set(), [node.id for node in outputs]
    while waiting:
        key = waiting.pop()
        if key not in found and key in graph:
            found.add(key)
            waiting.extend(link.node for link in graph[key].links().values())
    return {key: node for key, node in graph.items() if key in found}


def _visit(node: GraphNode, graph: Graph, order: dict[str, None]) -> None:
    """Depth first with a stack of its own: long chains would exceed Python's recursion limit."""
    stack = [(node.id, iter(node.links().values()))]
    while stack:
        key, sources = stack[-1]
        source = next((link.node for link in sources if link.node not in order), None)
        if source is None:
            order.setdefault(key)
            stack.pop()
        else:
            stack.append((source, iter(graph[source].links().values())))


def _unknown_nodes(graph: Graph, registry: Registry) -> Iterator[str]:
    where = "this runner knows this pack's nodes and a few stock nodes, ComfyUI runs the rest"
    unknown = (node for node in graph.values() if node.class_type not in registry)
    for number, node in enumerate(unknown):
        if node.class_type.startswith(GROUP_NODES):
            yield f"{node}: a group node, which is not opened here; ungroup it or make it a subgraph in ComfyUI"
            continue
        near = _nearest(node.class_type, registry) if number < MAX_SHOWN else ""  # slow, and further ones unseen
        yield f"{node}: unknown node class {shown(node.class_type)}{near} ({where})"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:MAX_LETTERS], known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _loose_links(graph: Graph, needed: Graph, registry: Registry) -> Iterator[str]:
    for node in needed.values():
        yield from (value.problem for value in node.inputs.values() if isinstance(value, Broken))
        for name, link in node.links().items():
            source = graph.get(link.node)
            if source is None:
                yield f'{node}, input "{plain(name)}": linked to node {plain(link.node)}, which does not exist'
            elif source.class_type in registry:
                count = len(registry.schema(source.class_type).outputs)
                if not 0 <= link.slot < count:
                    yield f'{node}, input "{plain(name)}": linked to output {link.slot} of {source}, which has {count}'


def _cycles(graph: Graph) -> list[str]:
    """The first cycle that is found, as a path of ids."""
    done: set[str] = set()
    for start in graph:
        path: dict[str, None] = {}
        stack = [(start, False)]
        while stack:
            key, leaving = stack.pop()
            if leaving:
                del path[key]
                done.add(key)
            elif key in path:
                circle = [*list(path)[list(path).index(key) :], key]
                return [f"the nodes run in a circle: {plain(' <- '.join(map(plain, circle)), 400)}"]
            elif key in graph and key not in done:
                path[key] = None
                stack.append((key, True))
                stack.extend((link.node, False) for link in graph[key].links().values())
    return []


def _check_node(node: GraphNode, graph: Graph, registry: Registry, problems: list[str]) -> GraphNode:
    cls = registry[node.class_type]
    named = _inspected_by_node(cls)
    found: list[str] = []
    for entry in registry.schema(node.class_type).inputs:
        try:
            node = _check_input(node, entry, graph, registry, own_check=named is None or entry.id in named)
        except BadValueError as error:
            found.append(f'{node}, input "{entry.id}": {error}')
    if not found and overrides(cls, "validate_inputs"):
        found.extend(_ask_node(cls, node, named))
    problems.extend(found)
    return node


def _check_input(node: GraphNode, entry: Input, graph: Graph, registry: Registry, own_check: bool) -> GraphNode:
    """The node with the input's value in its type. Raises :class:`BadValueError`."""
    wanted = entry.get_io_type()
    if entry.id not in node.inputs:
        if entry.optional:
            return node
        raise BadValueError(f"expected {wanted}, got nothing; connect it" + (" or set it" * has_widget(entry)))
    value = node.inputs[entry.id]
    if isinstance(value, Link):
        _check_link(value, wanted, graph, registry)
        return node
    value = as_type(value, wanted)
    if wanted == "COMBO" and all(isinstance(choice, str) for choice in entry.as_dict().get("options", ())):
        value = str(value)  # a file may be called 7
    if not own_check:
        check_range(value, entry)
    return node.with_input(entry.id, value)


def _check_link(link: Link, wanted: str, graph: Graph, registry: Registry) -> None:
    source = graph[link.node]
    output = registry.schema(source.class_type).outputs[link.slot]
    given = output.get_io_type()
    if "*" not in (given, wanted) and not set(given.split(",")) & set(wanted.split(",")):
        raise BadValueError(f"expected {wanted}, got {given} from output {link.slot} of {source}")


def _inspected_by_node(cls: type[ComfyNode]) -> Sequence[str] | None:
    """Inputs that the node checks itself; None for all of them. Their built-in range checks are off."""
    if not overrides(cls, "validate_inputs"):
        return ()
    spec = inspect.getfullargspec(cls.validate_inputs)
    return None if spec.varkw else [*spec.args[1:], *spec.kwonlyargs]


def _ask_node(cls: type[ComfyNode], node: GraphNode, named: Sequence[str] | None) -> list[str]:
    """What the node's own ``validate_inputs`` says; linked inputs arrive as None, as in ComfyUI."""
    given = {k: None if isinstance(v, Link) else v for k, v in node.inputs.items() if named is None or k in named}
    verdict = cls.validate_inputs(**given)
    if verdict is True:
        return []
    values = ", ".join(f"{name} = {shown(value)}" for name, value in given.items() if value is not None)
    reason = verdict if isinstance(verdict, str) else "the node refuses its inputs"
    return [f"{node}: {reason}" + (f" (given {values})" if values else "")]
