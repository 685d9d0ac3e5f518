"""The nodes of a headless run."""

from ..host.workflow.stock import STOCK_NODES
from . import NODES

HEADLESS_NODES = (*NODES, *STOCK_NODES)
"""This pack's node classes, and those that stand in for ComfyUI's own."""
