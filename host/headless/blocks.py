"""The blocks of a denoiser that a pass with gradients may compute twice instead of keeping what is inside."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from ..shared.recomputation import Recomputation, by_module
from ..shared.weights.weight_patches import call_with

BLOCKS = ("BasicTransformerBlock", "ResnetBlock2D", "FluxTransformerBlock", "FluxSingleTransformerBlock")
"""Their classes."""


@contextmanager
def recomputed(unet: nn.Module, tensors: Mapping[str, Tensor], recomputation: Recomputation) -> Iterator[None]:
    """Within the context, that of one pass, the blocks run by :meth:`Recomputation.run`.

    Args:
        unet: whose ``forward`` methods of blocks are covered meanwhile.
        tensors: with which the pass computes in place of the UNet's own.
        recomputation: which computes blocks again, with the same tensors.
    """
    blocks = {name: module for name, module in unet.named_modules() if type(module).__name__ in BLOCKS}
    own, covered = by_module(tensors, list(blocks)), []
    try:
        for name, block in blocks.items():
            if "forward" not in vars(block):  # otherwise someone else covers it
                covered.append(block)
                block.forward = partial(recomputation.run, block.forward, partial(call_with, block, own[name]))
        yield
    finally:
        for block in covered:
            del block.forward
