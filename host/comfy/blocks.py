"""The blocks of a denoiser in ComfyUI that a pass with gradients may compute twice and not keep what is inside."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ..shared.families import ModelFamily
from ..shared.recomputation import Recomputation
from .gradients import OutOfPlaceSums, differentiable_kernels
from .names import PREFIX
from .transformers.sites import block_paths

BLOCKS = ("BasicTransformerBlock", "ResBlock")
"""Their classes in a UNet; those of transformers stand in the records of their families."""

Restore = Callable[[], AbstractContextManager[None]]
"""A context in which the model computes as it did at some earlier time."""

_OPTIONS = "transformer_options"


def recompute_blocks(
    patcher: Any, family: ModelFamily, recomputation: Recomputation, remember: Callable[[], Restore]
) -> None:
    """Let the blocks of a ``ModelPatcher`` run by :meth:`Recomputation.run`, as long as it is the one in memory.

    Args:
        patcher: a clone that was made for learning.
        family: its family.
        recomputation: which says when blocks are computed again.
        remember: asked at every run of a block how to compute it again.
    """
    around = nullcontext if family.transformer is None else _repeatable
    for path in _paths(family, patcher.get_model_object("diffusion_model")):
        key = f"{path}.forward"
        patcher.add_object_patch(key, _recomputed(patcher.get_model_object(key), recomputation, remember, around))


def _paths(family: ModelFamily, denoiser: Any) -> list[str]:
    if family.transformer is not None:
        return block_paths(family, denoiser)
    return [PREFIX + name for name, module in denoiser.named_modules() if type(module).__name__ in BLOCKS]


def _recomputed(
    forward: Callable[..., Any], recomputation: Recomputation, remember: Callable[[], Restore], around: Restore
) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not recomputation.active:
            return forward(*args, **kwargs)
        restore = remember()

        def first(*args: Any, **kwargs: Any) -> Any:
            with around():
                return forward(*args, **_with_own_options(kwargs))

        def again(*args: Any, **kwargs: Any) -> Any:
            with restore(), around():
                return forward(*args, **_with_own_options(kwargs))

        return recomputation.run(first, again, *args, **_with_own_options(kwargs))

    return run


@contextmanager
def _repeatable() -> Iterator[None]:
    """Within the context a block leaves what it is given as it was, so that it can be computed again from it."""
    with differentiable_kernels(), OutOfPlaceSums():
        yield


def _with_own_options(given: dict[str, Any]) -> dict[str, Any]:
    """A model writes into the options that it hands on which block comes next; by the second time it has moved on."""
    return {**given, _OPTIONS: dict(given[_OPTIONS])} if _OPTIONS in given else given
