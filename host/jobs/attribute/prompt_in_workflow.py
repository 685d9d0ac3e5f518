"""The prompt that a workflow gives to a sampler."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = ("text", "prompt")
"""What nodes that encode a prompt call their input: CLIP Text Encode, and those that read pictures as well."""


def sampled_prompt(workflow: Any, node: str | None) -> str | None:
    """The text behind the ``positive`` input of the sampler whose ``samples`` a node gets; None where it is not plain.

    Nodes in between that change a CONDITIONING are passed over.

    Args:
        workflow: in the API format, as it runs.
        node: the id of the node that shows the heat maps.
    """
    encoder = _behind(workflow, _behind(workflow, node, "samples"), "positive")
    passed: set[str] = set()
    while encoder is not None and encoder not in passed:
        for name in _NAMES:
            text = _given(workflow, encoder, name)
            if not isinstance(text, str):
                text = _given(workflow, _behind(workflow, encoder, name), "value")
            if isinstance(text, str):
                return text
        passed.add(encoder)
        encoder = _behind(workflow, encoder, "conditioning")
    return None


def _given(workflow: Any, node: str | None, name: str) -> Any:
    entry = workflow.get(node) if isinstance(workflow, Mapping) else None
    inputs = entry.get("inputs") if isinstance(entry, Mapping) else None
    return inputs.get(name) if isinstance(inputs, Mapping) else None


def _behind(workflow: Any, node: str | None, name: str) -> str | None:
    """The id of the node that an input is linked to."""
    link = _given(workflow, node, name)
    return str(link[0]) if isinstance(link, Sequence) and not isinstance(link, str) and len(link) == 2 else None
