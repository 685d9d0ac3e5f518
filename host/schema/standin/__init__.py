"""A small stand-in for ``comfy_api.latest``, for use without ComfyUI.

It offers what this pack's nodes use, under ComfyUI's names and with the same node information
(``tests/host/test_schema_contract.py`` compares the two). Anything else is an ``AttributeError``, on purpose.
"""

from abc import ABC, abstractmethod

from . import io, ui

__all__ = ["ComfyExtension", "io", "ui"]


class ComfyExtension(ABC):
    """What ``comfy_entrypoint`` returns."""

    async def on_load(self) -> None:  # noqa: B027  (ComfyUI's is optional as well)
        """Called once when the pack is loaded."""

    @abstractmethod
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The node classes of the pack."""
