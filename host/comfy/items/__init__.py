"""Everything inside ComfyUI that the pack depends on; ``docs/comfyui-internals.md`` is written from it.

A new node's entry goes into ``needs.py``, under its family. A further name of ComfyUI that the pack uses goes into the
file of its subject (``prompts.py``, ``passes.py``, ``attention.py``, ...).
"""

from ..internals import Internal
from . import attention, gradients, lab, models, passes, prompts, sampling, weights

VERSIONS_RUN = ("0.19.3", "0.29.0", "0.33.0")
"""Versions of ComfyUI on which all of the pack's tests were run."""

ITEMS: tuple[Internal, ...] = (
    *models.ITEMS,
    *prompts.ITEMS,
    *passes.ITEMS,
    *attention.ITEMS,
    *sampling.ITEMS,
    *gradients.ITEMS,
    *weights.ITEMS,
    *lab.ITEMS,
)
"""In the order of the document."""
