"""How much memory a run has taken."""

import sys

import torch


def peak_memory() -> int:
    """The most bytes that were in use so far: of the GPU where one is in use, else of the process; 0 where the system
    does not say."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
