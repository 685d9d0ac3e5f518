"""Nodes that cannot work on this version of ComfyUI say so: when the pack loads, and before they compute anything."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from ..schema import io
from ..shared.environment import inside_comfyui
from .internals import Internal, changes, comfyui_version
from .items import ITEMS, VERSIONS_RUN

log = logging.getLogger("concept_atelier.host")

PREFIX = "ConceptAtelier"
"""What node ids begin with; the class's name follows."""


class ChangedComfyUIError(RuntimeError):
    """This ComfyUI lacks something inside it that a node depends on."""


def usable(nodes: Sequence[type[io.ComfyNode]], items: Sequence[Internal] = ITEMS) -> list[type[io.ComfyNode]]:
    """The nodes, those that cannot work here replaced by ones of the same schema that refuse. Logs why, once each."""
    if not inside_comfyui():
        return list(nodes)
    reasons: dict[str, list[str]] = defaultdict(list)
    for item, change in changes(items):
        sentence = _sentence(item, change, nodes)
        log.error(sentence)
        for name in item.nodes:
            reasons[name].append(sentence)
    return [_refusing(node, " ".join(reasons[node.__name__])) if node.__name__ in reasons else node for node in nodes]


def _sentence(item: Internal, change: str, nodes: Iterable[type[io.ComfyNode]]) -> str:
    named = {node.__name__: str(node.define_schema().display_name) for node in nodes}
    concerned = [named[name] for name in item.nodes if name in named]
    return (
        f"{joined_with_and(concerned)} will not work on {comfyui_version()}, because {item.path}, through "
        f"which {item.purpose}, {change}. This pack was tested on ComfyUI {joined_with_and(VERSIONS_RUN)}; "
        "a newer version of the pack may support yours."
    )


def _refusing(node: type[io.ComfyNode], reason: str) -> type[io.ComfyNode]:
    def refuse(cls: type, **_: Any) -> str:
        return reason

    def fail(cls: type, **_: Any) -> None:
        raise ChangedComfyUIError(reason)

    own = {"validate_inputs": classmethod(refuse), "execute": classmethod(fail), "__module__": node.__module__}
    return type(node.__name__, (node,), own)


def joined_with_and(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
