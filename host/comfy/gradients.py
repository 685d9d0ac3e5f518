"""Gradients through models inside ComfyUI, by way of their patchers: the user's model is never written to.

ComfyUI loads weights under inference mode, and autograd refuses to save such tensors. A weight wrapper on a clone
gives every layer a plain tensor instead; loading the original patcher again takes the wrappers off. Where a layer
computes with what it holds, that tensor lies over the same memory: a training needs no second copy of the weights.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...core.types import Change
from ..shared.errors import UnsupportedModelError
from ..shared.weights.weight_patches import changed

GGUF = "the model is a GGUF file, whose weights can be neither read nor changed here; load it in 16 bits or fp8"

Wrapper = Callable[[Tensor], Tensor]
"""Gives the tensor that a layer computes with in place of the one that ComfyUI would take."""

ChangesOf = Callable[[], Iterable[Change]]
"""Asked at every use of a weight: the changes that are to be added to it."""


def differentiable(patcher: Any, changes_of: Mapping[str, ChangesOf] | None = None) -> Any:
    """A clone of a ``ModelPatcher`` that gradients can pass; none reach its weights. LoRAs and patches stay in force.

    ``changes_of`` gives, by ComfyUI's keys of weights, what is to be added to them; gradients reach that.

    A denoiser that computes in float16 computes in bfloat16 or, where the device has none, in float32: gradients of
    attention underflow in float16.
    """
    clone = patcher.clone()
    dynamic, added = getattr(clone, "is_dynamic", bool)(), changes_of or {}
    for name, module in clone.model.named_modules():
        if isinstance(module, nn.Embedding):
            continue  # a table of words: no gradient passes through it, and copying it at every step is dear
        for key, _ in module.named_parameters(recurse=False):
            full = f"{name}.{key}" if name else key
            if not hasattr(module, f"{key}_function"):  # a layer that computes with what it holds, and asks no wrapper
                own = clone.get_model_object(full)  # and not what a clone in memory put in its place
                if own.is_inference():
                    clone.add_object_patch(full, _plain(own))
                continue
            _check_readable(getattr(module, key))
            # Under dynamic memory a resident weight may be evicted before the backward pass needs it.
            fresh = _always_copy if dynamic else _constant(module, key)
            clone.add_weight_wrapper(full, _adding(fresh, added[full]) if full in added else fresh)
    _widen(clone)
    return clone


@contextmanager
def plain_weights(denoiser: nn.Module) -> Iterator[None]:
    """Within the context autograd takes every weight of a denoiser that is in memory.

    Under dynamic memory ComfyUI loads small modules by themselves, without the wrappers of :func:`differentiable`, and
    under the inference mode of a sampler. Other weights are left alone.
    """
    held: list[tuple[nn.Module, str, nn.Parameter]] = []
    bare: list[tuple[nn.Module, str]] = []
    for module in denoiser.modules():
        for key, weight in list(module.named_parameters(recurse=False)):
            functions = getattr(module, f"{key}_function", None)
            if not weight.is_inference() or functions:
                continue
            if functions is None:
                held.append((module, key, weight))
                module._parameters[key] = _plain(weight)
            else:
                bare.append((module, f"{key}_function"))
                setattr(module, f"{key}_function", [_always_copy])
    try:
        yield
    finally:
        for module, key, weight in held:
            module._parameters[key] = weight
        for module, name in bare:
            setattr(module, name, [])


def _plain(weight: Tensor) -> nn.Parameter:
    with torch.inference_mode(False):
        return nn.Parameter(weight.detach().clone(), requires_grad=False)


def _check_readable(weight: Tensor) -> None:
    """Raise :class:`~..shared.errors.UnsupportedModelError` for a weight of a GGUF file: its layers ask no wrapper."""
    if hasattr(weight, "tensor_type"):
        raise UnsupportedModelError(GGUF)


def differentiable_clip(clip: Any, changes_of: Mapping[str, ChangesOf] | None = None) -> Any:
    """A clone of a ``CLIP`` over :func:`differentiable`."""
    clone = clip.clone()
    clone.patcher = differentiable(clone.patcher, changes_of)
    return clone


def saving_copies() -> AbstractContextManager[Any]:
    """Within the context autograd keeps copies of activations.

    ComfyUI's text encoders add to their residual stream in place, which would change what was saved for the backward
    pass. Weights, which have at most two dimensions there, are kept as they are.
    """
    return torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone() if t.ndim > 2 else t, lambda t: t)


class OutOfPlaceSums(TorchFunctionMode):
    """Within the context ``x += y`` and ``x *= y`` make new tensors.

    For blocks of transformers that are computed again in the backward pass: they add to their streams in place, which
    would change what goes into a block and what is saved inside it. PyTorch hands both over as ``add_`` and ``mul_``;
    of a call by that name only the result counts here, so this is for code that uses it. Other code runs by
    :meth:`left_alone`.
    """

    _PLAIN = {Tensor.add_: Tensor.add, Tensor.mul_: Tensor.mul}

    def __init__(self) -> None:
        super().__init__()
        self._paused = False

    def left_alone(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that computes as it would without this context."""

        def run(*args: Any, **kwargs: Any) -> Any:
            before, self._paused = self._paused, True
            try:
                return function(*args, **kwargs)
            finally:
                self._paused = before

        return run

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        plain = func if self._paused else self._PLAIN.get(func, func)
        return plain(*args, **(kwargs or {}))


class FreshOut(TorchFunctionMode):
    """Within the context ``torch.add(x, y, out=z)`` makes a new tensor and leaves z as it is: as
    :class:`OutOfPlaceSums`, for blocks of language models that are computed again in the backward pass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in (torch.add, torch.mul):
            given.pop("out", None)
        return func(*args, **given)


class DifferentiableOut(TorchFunctionMode):
    """Within the context ``torch.add(x, y, out=z)`` has a gradient, and still writes into z, as language models do."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func not in (torch.add, torch.mul) or given.get("out") is None:
            return func(*args, **given)
        out = given.pop("out")
        return out.copy_(func(*args, **given))


class EagerRotations(TorchFunctionMode):
    """Within the context comfy-kitchen's kernels that rotate queries and keys are replaced by its functions of plain
    PyTorch, which have gradients.

    Anima takes such a kernel in training, too. Versions of ComfyUI without comfy-kitchen have none. Its other kernels,
    which read quantised weights, stay: no gradient has to pass them.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _eager(func)(*args, **(kwargs or {}))


def _eager(func: Any) -> Any:
    """A function, or what computes the same with a gradient if it is a kernel that rotates.

    Raises :class:`~..shared.errors.UnsupportedModelError` where the installed comfy-kitchen has no such function.
    """
    if not isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
        return func
    space, name, *_ = f"{func}.".split(".")  # such as comfy_kitchen.rms_rope.default
    if space != "comfy_kitchen" or "rope" not in name:
        return func
    from comfy_kitchen.backends import eager

    if not hasattr(eager, name):
        raise UnsupportedModelError(
            f"no gradients pass {name} of the installed comfy-kitchen, by which this model rotates queries and keys; "
            "install the version that ComfyUI's requirements.txt names, or choose a method that needs no gradients"
        )
    return getattr(eager, name)


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """Within the context ComfyUI takes kernels that have gradients, as in its own trainer."""
    import comfy.model_management as management

    before = management.in_training
    management.in_training = True
    try:
        with EagerRotations():
            yield
    finally:
        management.in_training = before


def out_of_place(patches: Mapping[str, Iterable[Callable[..., Any]]]) -> dict[str, list[Callable[..., Any]]]:
    """The ``patches`` of ``transformer_options`` such that gradients can pass those that write in place.

    Patches of other nodes (FreeU) may write into what they are given, and into what autograd has saved of it. Each
    gets copies instead, and what is saved inside it is a copy as well.
    """
    return {name: [_on_copies(patch) for patch in entries] for name, entries in patches.items()}


def _on_copies(patch: Callable[..., Any]) -> Callable[..., Any]:
    def on_copies(*args: Any, **kwargs: Any) -> Any:
        with saving_copies():
            return patch(*(_copied(one) for one in args), **{name: _copied(one) for name, one in kwargs.items()})

    return on_copies


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def wants_gradients() -> bool:
    """Whether what is computed now can be part of a graph."""
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def plain_attention(attention: Any, *args: Any, **kwargs: Any) -> Tensor:
    """An ``optimized_attention_override``: PyTorch's own attention, whatever is selected.

    Of the others some (SageAttention, quantised ones) have no gradient, and some give a wrong one without a word.
    """
    from comfy.ldm.modules.attention import attention_pytorch

    return attention_pytorch(*args, **kwargs)


def _adding(fresh: Wrapper, changes_of: ChangesOf) -> Wrapper:
    def add(weight: Tensor) -> Tensor:
        factors = list(changes_of())
        return changed(fresh(weight), factors) if factors else fresh(weight)

    return add


def _constant(module: nn.Module, key: str) -> Wrapper:
    """Of a layer's weight or bias. ComfyUI hands a copy to wrappers; it is let go where it is what the layer holds."""

    def constant(weight: Tensor) -> Tensor:
        held = getattr(module, key).detach()
        # Another function (a LoRA that is computed as it is needed) may change the copy, or write into what it gets.
        alone = len(getattr(module, f"{key}_function", ())) == 1
        same = type(held) is Tensor and (held.device, held.dtype) == (weight.device, weight.dtype)
        if alone and same:
            return torch.from_dlpack(held)
        # What is moved without being converted may lie in a buffer that the next layers are moved into.
        moved = type(held) is Tensor and held.dtype == weight.dtype and held.device != weight.device
        return weight.clone() if moved or weight.is_inference() else weight.detach()

    return constant


def _always_copy(weight: Tensor) -> Tensor:
    return weight.detach().clone()


def _widen(patcher: Any) -> None:
    import comfy.model_management as management

    if not hasattr(patcher.model, "get_dtype"):  # a text encoder, which computes in float32
        return
    if (patcher.get_model_object("manual_cast_dtype") or patcher.model.get_dtype()) == torch.float16:
        device = patcher.load_device
        patcher.set_model_compute_dtype(torch.bfloat16 if management.should_use_bf16(device) else torch.float32)
