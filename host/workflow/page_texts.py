"""What ComfyUI's page does to texts before it sends a workflow, done for workflow files that run headless.

Prompts lose their comments and alternatives (:mod:`.dynamic_prompts`), filename prefixes are filled in
(:mod:`..files.filename_tokens`). API files have been through the page, so that there only prefixes are filled in, which
otherwise could not become a file's name.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from ...core.messages import listed, plain, shown
from ..files.filename_tokens import fill_page_tokens, page_text
from .dynamic_prompts import has_alternatives, resolve_prompt
from .graph import Broken, Graph, GraphNode, Link, WorkflowError
from .registry import Registry

SAVERS = frozenset({"SaveImage"})
"""Those of the stock nodes known here whose ``filename_prefix`` the page fills in."""


@dataclass
class PageTexts:
    """The graph as it is sent, and what had to be decided, for people."""

    graph: dict[str, GraphNode]
    notes: list[str] = field(default_factory=list)


def resolve_texts(
    graph: Graph, registry: Registry, seed: int, *, drawn: bool, now: datetime | None = None
) -> PageTexts:
    """Resolve prompts and prefixes.

    Args:
        graph: overrides applied, not yet checked.
        registry: says which inputs take alternatives and comments.
        seed: which alternatives are taken.
        drawn: whether the workflow is in the UI format, and was not sent by the page yet.
        now: the time for file names; None is the present.

    Raises:
        WorkflowError: for prefixes that name a node or an input that is not there or is linked, and for braces that
            are nested too deep.
    """
    found, problems = PageTexts(dict(graph)), []
    values = _Values(graph, found.notes)
    for node, name in _texts(graph, registry):
        text = str(node.inputs[name])
        where = f'{node}, input "{name}"'
        try:
            if name == "filename_prefix":
                read, said = fill_page_tokens(text, values.of, now), ""
            elif drawn and name not in node.as_is:
                resolved = resolve_prompt(text, f"{seed} {node.id} {name}")
                read, said = resolved.text, resolved.describe()
            else:
                read, said = text, _letters(text, drawn)
        except (LookupError, ValueError) as error:
            problems.append(f"{where}: {error.args[0]}")
            continue
        found.graph[node.id] = found.graph[node.id].with_input(name, read)
        if said:
            found.notes.append(f"{where}: {said}" + (f"; it reads {shown(read, 200)}" if read != text else ""))
    if problems:
        raise WorkflowError(problems)
    return found


def _texts(graph: Graph, registry: Registry) -> Iterator[tuple[GraphNode, str]]:
    """The texts that the page looks at, of every node."""
    for node in graph.values():
        for name, value in node.inputs.items():
            entry = registry.input(node.class_type, name) if node.class_type in registry else None
            if entry is None or not isinstance(value, str):
                continue
            prefix = name == "filename_prefix" and node.class_type in SAVERS
            if prefix or entry.as_dict().get("dynamicPrompts"):
                yield node, name


def _letters(text: str, drawn: bool) -> str:
    """What to say of alternatives that the page would not resolve either."""
    if not has_alternatives(text):
        return ""
    why = "a widget that a subgraph shows" if drawn else "a file in the API format"
    return f"the braces are read as letters, as in ComfyUI, because the text comes from {why}"


@dataclass
class _Values:
    """Values of widgets by ``%node.widget%``."""

    graph: Graph
    notes: list[str]

    def of(self, name: str, widget: str) -> str:
        """The value as the page writes it. Raises ``LookupError`` where there is none before the run."""
        token, node = shown(f"%{name}.{widget}%"), self._node(name)
        if widget not in node.inputs:
            widgets = listed(key for key, value in node.inputs.items() if not isinstance(value, (Link, Broken)))
            raise LookupError(f"{token}: {node} has no {plain(widget)}; it has {widgets or 'none'}")
        value = node.inputs[widget]
        if isinstance(value, (Link, Broken)):
            raise LookupError(f"{token}: {plain(widget)} of {node} comes over a link and is not known before the run")
        return page_text(value)

    def _node(self, name: str) -> GraphNode:
        """The page looks for a node's alias, then for its title, and takes the first."""
        nodes = list(self.graph.values())
        found = [node for node in nodes if node.alias == name] or [node for node in nodes if node.title == name]
        if not found:
            names = listed(dict.fromkeys(known for node in nodes for known in (node.alias, node.title)))
            raise LookupError(f"%{plain(name)}...% names no node that runs; there are {names}")
        if len(found) > 1:
            self.notes.append(f"{len(found)} nodes are called {plain(name)} in a filename prefix; {found[0]} was taken")
        return found[0]
