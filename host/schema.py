"""The V3 node schema: ComfyUI's own inside ComfyUI, a small stand-in elsewhere, so that one class serves both.

``io``, ``ui`` and ``ComfyExtension`` are those of ``comfy_api.latest``. An older ComfyUI drops a node whose schema
names a field that it does not know; nodes therefore build theirs with :func:`make_schema` and :func:`make_input`.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .environment import inside_comfyui

if TYPE_CHECKING or not inside_comfyui():
    from .schema_standin import ComfyExtension, io, ui
else:
    from comfy_api.latest import ComfyExtension, io, ui

__all__ = ["ComfyExtension", "NEWER_FIELDS", "io", "make_input", "make_schema", "ui"]

NEWER_FIELDS = frozenset(
    {
        "search_aliases",
        "is_dev_only",
        "price_badge",
        "accept_all_inputs",
        "essentials_category",
        "has_intermediate_output",
        "advanced",
        "raw_link",
        "extra_dict",
        "gradient_stops",
    }
)
"""Fields of schemas and inputs that came after ComfyUI 0.3.64 and may be left out without changing what a node does."""

T = TypeVar("T")


def make_schema(**fields: Any) -> "io.Schema":
    """``io.Schema(**fields)`` without the newer fields that this ComfyUI does not know.

    Raises ``TypeError`` for a field that no version knows.
    """
    return _build(io.Schema, **fields)


def make_input(kind: Callable[..., T], *args: Any, **fields: Any) -> T:
    """``kind(*args, **fields)``, for instance ``make_input(io.Int.Input, "steps", default=20, advanced=True)``,
    without the newer fields that this ComfyUI does not know.

    Raises ``TypeError`` for a field that no version knows.
    """
    return _build(kind, *args, **fields)


def _build(kind: Callable[..., T], *args: Any, **fields: Any) -> T:
    parameters = inspect.signature(kind).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    kept = {k: v for k, v in fields.items() if takes_all or k in parameters or k not in NEWER_FIELDS}
    return kind(*args, **kept)
