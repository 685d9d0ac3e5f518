"""The blocks of a denoiser and of a text encoder in ComfyUI that a pass with gradients may compute twice and not keep
what is inside."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..shared.families import ModelFamily
from ..shared.recomputation import Recomputation
from .gradients import FreshOut, OutOfPlaceSums, differentiable_kernels
from .names import PREFIX
from .transformers.sites import block_paths

BLOCKS = ("BasicTransformerBlock", "ResBlock")
"""Their classes in a UNet; those of transformers stand in the records of their families."""

TEXT_BLOCKS = ("CLIPLayer", "T5Block", "TransformerBlock", "TransformerBlockGemma2")
"""Their classes in text encoders."""

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
    for path in _paths(family, patcher.get_model_object("diffusion_model")):
        key = f"{path}.forward"
        forward = patcher.get_model_object(key)
        repeatable = forward if family.transformer is None else _repeatable(forward)
        patcher.add_object_patch(key, _recomputed(forward, repeatable, recomputation, remember))


def recompute_text_blocks(patcher: Any, recomputation: Recomputation, remember: Callable[[], Restore]) -> None:
    """The same for the blocks of text encoders, whose ``ModelPatcher`` this is."""
    for path in _text_paths(patcher.model):
        key = f"{path}.forward"
        forward = patcher.get_model_object(key)
        patcher.add_object_patch(key, _recomputed(forward, _repeatable_text(forward), recomputation, remember))


def converted_bytes(encoders: Any) -> int:
    """Bytes that the weights of blocks of text encoders take while a text is read, beside those that are stored:
    ComfyUI computes there in single precision, and converts what is stored with fewer bits."""
    weights = [weight for path in _text_paths(encoders) for weight in encoders.get_submodule(path).parameters()]
    return sum(4 * weight.numel() for weight in weights if weight.element_size() < 4)


def _text_paths(encoders: Any) -> list[str]:
    return [name for name, module in encoders.named_modules() if type(module).__name__ in TEXT_BLOCKS]


def _paths(family: ModelFamily, denoiser: Any) -> list[str]:
    if family.transformer is not None:
        return block_paths(family, denoiser)
    return [PREFIX + name for name, module in denoiser.named_modules() if type(module).__name__ in BLOCKS]


def _recomputed(
    forward: Callable[..., Any],
    repeatable: Callable[..., Any],
    recomputation: Recomputation,
    remember: Callable[[], Restore],
) -> Callable[..., Any]:
    """A block that runs by ``repeatable`` in passes that compute it again, and by ``forward`` in others."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if not recomputation.active:
            return forward(*args, **kwargs)
        restore = remember()

        def first(*args: Any, **kwargs: Any) -> Any:
            return repeatable(*args, **_with_own_options(kwargs))

        def again(*args: Any, **kwargs: Any) -> Any:
            with restore():
                return repeatable(*args, **_with_own_options(kwargs))

        return recomputation.run(first, again, *args, **_with_own_options(kwargs))

    return run


def _repeatable(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A block that leaves what it is given as it was, so that it can be computed again from it."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with differentiable_kernels(), OutOfPlaceSums():
            return forward(*args, **kwargs)

    return run


def _repeatable_text(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a block of a text encoder. It is handed the function of attention, which adds masks in place."""

    def run(*args: Any, **kwargs: Any) -> Any:
        sums = OutOfPlaceSums()

        def prepared(value: Any) -> Any:
            return sums.left_alone(value) if callable(value) else value

        with differentiable_kernels(), sums, FreshOut():
            return forward(*map(prepared, args), **{name: prepared(value) for name, value in kwargs.items()})

    return run


def _with_own_options(given: dict[str, Any]) -> dict[str, Any]:
    """A model writes into the options that it hands on which block comes next; by the second time it has moved on."""
    return {**given, _OPTIONS: dict(given[_OPTIONS])} if _OPTIONS in given else given
