"""Where the package is running."""

import sys


def inside_comfyui() -> bool:
    """Whether this process is ComfyUI: it imports ``folder_paths`` and ``comfy`` before any node pack."""
    return "folder_paths" in sys.modules and "comfy" in sys.modules
