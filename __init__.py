"""Concept Atelier: take a picture apart into concepts, learn them, recompose them, erase them.

This file is ComfyUI's entry, nothing else. Everything is imported inside :func:`comfy_entrypoint`, so that importing
the package elsewhere is quick and works without ComfyUI.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host.schema import ComfyExtension

WEB_DIRECTORY = "./web"


async def comfy_entrypoint() -> "ComfyExtension":
    """Called once by ComfyUI when it loads its node packs."""
    with _without_collections():
        from .host.comfy.refusals import usable
        from .host.files.example_pictures import offer_pictures
        from .host.schema import ComfyExtension, io
        from .nodes import NODES

    offer_pictures()
    nodes = usable(NODES)

    class ConceptAtelier(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            return nodes

    return ConceptAtelier()


@contextmanager
def _without_collections() -> Iterator[None]:
    """Put off garbage collection: one pass over all objects of ComfyUI took as long as the pack's own imports."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
