"""The V3 node schema: ComfyUI's own inside ComfyUI, a small stand-in elsewhere, so that one class serves both.

``io``, ``ui`` and ``ComfyExtension`` are those of ``comfy_api.latest``, with the fields that ComfyUI 0.19.3 knows: an
older one drops a node whose schema names a field that it does not know.
"""

from typing import TYPE_CHECKING

from ..shared.environment import inside_comfyui

if TYPE_CHECKING or not inside_comfyui():
    from .standin import ComfyExtension, io, ui
else:
    from comfy_api.latest import ComfyExtension, io, ui

__all__ = ["ComfyExtension", "io", "ui"]
