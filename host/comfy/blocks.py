"""The blocks of a ComfyUI UNet that a pass with gradients may compute twice instead of keeping what is inside."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..shared.recomputation import Recomputation

BLOCKS = ("BasicTransformerBlock", "ResBlock")
"""Their classes."""

Restore = Callable[[], AbstractContextManager[None]]
"""A context in which the model computes as it did at some earlier time."""

_OPTIONS = "transformer_options"


def recompute_blocks(patcher: Any, recomputation: Recomputation, remember: Callable[[], Restore]) -> None:
    """Let the blocks of a ``ModelPatcher`` run by :meth:`Recomputation.run`, as long as it is the one in memory.

    Args:
        patcher: a clone that was made for learning.
        recomputation: which says when blocks are computed again.
        remember: asked at every run of a block how to compute it again.
    """
    for name, module in patcher.get_model_object("diffusion_model").named_modules():
        if type(module).__name__ in BLOCKS:
            key = f"diffusion_model.{name}.forward"
            patcher.add_object_patch(key, _recomputed(patcher.get_model_object(key), recomputation, remember))


def _recomputed(
    forward: Callable[..., Any], recomputation: Recomputation, remember: Callable[[], Restore]
) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not recomputation.active:
            return forward(*args, **kwargs)
        restore = remember()

        def first(*args: Any, **kwargs: Any) -> Any:
            return forward(*args, **_with_own_options(kwargs))

        def again(*args: Any, **kwargs: Any) -> Any:
            with restore():
                return forward(*args, **_with_own_options(kwargs))

        return recomputation.run(first, again, *args, **_with_own_options(kwargs))

    return run


def _with_own_options(given: dict[str, Any]) -> dict[str, Any]:
    """A UNet writes into the options that it hands on which block comes next; by the second time it has moved on."""
    return {**given, _OPTIONS: dict(given[_OPTIONS])} if _OPTIONS in given else given
