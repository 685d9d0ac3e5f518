"""Learning in less memory: what is inside a block of a model is computed again in the backward pass, not kept.

PyTorch keeps of such a block what goes in and comes out (``torch.utils.checkpoint``). The second computation must see
what the first saw: hosts say how, since by then the weights of a training are no longer in force. Whoever listens to
attention is called once, after the block, so that the listener's own work is not part of what is computed again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.checkpoint import checkpoint

from .progress import say

Choice = Literal["automatic", "on", "off"]
"""Whether blocks are computed again: always, never, or where a pass would not fit into the memory that is free."""

MARGIN = 1.25
"""What a step of learning takes at most, relative to what its passes keep."""
PROBES = (8, 16)
"""Sides of the latents, in cells, by which it is estimated what a pass keeps."""

Job = Callable[..., Any]


class Recomputation:
    """Whether blocks are computed again, and when listeners are called for what happens inside them.

    Attributes:
        choice: what is asked for.
    """

    def __init__(self) -> None:
        self.choice: Choice = "off"
        self._active = False
        self._inside = False
        self._silent = False
        self._waiting: list[Callable[[], None]] = []
        self._kept: dict[int, tuple[float, float]] = {}
        self._said = False

    @property
    def active(self) -> bool:
        """Whether the pass that is running computes its blocks again, and this is the first time."""
        return self._active and not self._inside and not self._silent

    @property
    def silent(self) -> bool:
        """Whether what runs now is of no interest to listeners: a second computation, or a probe."""
        return self._silent

    def notify(self, listener: Callable[[], None]) -> None:
        """Call a listener: now, or after the block that is running."""
        if self._inside:
            self._waiting.append(listener)
        elif not self._silent:
            listener()

    def run(self, first: Job, again: Job, *args: Any, **kwargs: Any) -> Any:
        """The result of a block. In a pass that recomputes, ``again`` is what computes it in the backward pass."""
        if not self.active:
            return first(*args, **kwargs)

        def block(*args: Any, **kwargs: Any) -> Any:
            return (again if self._silent else first)(*args, **kwargs)

        try:
            result = checkpoint(block, *args, use_reentrant=False, context_fn=self._contexts, **kwargs)
            waiting, self._waiting = self._waiting, []
        finally:
            self._waiting = []
        for listener in waiting:
            listener()
        return result

    @contextmanager
    def in_force(self, wanted: bool) -> Iterator[None]:
        """Within the context, which is that of one pass, blocks are recomputed if that is wanted."""
        before, self._active = self._active, wanted
        try:
            yield
        finally:
            self._active = before

    def wanted(
        self,
        latent: Tensor,
        probe: Callable[[Tensor], Tensor],
        free: Callable[[], float | None],
        weights: Iterable[Tensor],
    ) -> bool:
        """Whether the pass over a latent (B, C, h, w) is to recompute its blocks.

        Args:
            latent: that is to be denoised.
            probe: one pass over another latent (1, C, h, w), with gradients.
            free: bytes of memory that are free; None where that is not known.
            weights: of the model, which take no memory more where a pass reads them as they are.
        """
        return self.wanted_for(lambda: MARGIN * self.kept(latent, probe, weights), free)

    def wanted_for(self, needed: Callable[[], float], free: Callable[[], float | None], share: float = 1.0) -> bool:
        """Whether a pass with gradients that needs so many bytes is to recompute its blocks: where they are more than a
        share of what is free (``free`` as above). Both are asked for only if they decide it."""
        if not _takes_gradients() or self._silent or self.choice == "off":
            return False
        if self.choice == "on":
            return True
        available = free()
        if available is None or (bytes_needed := needed()) <= share * available:
            return False
        if not self._said:
            self._said = True
            gib = f"{bytes_needed / 2**30:.1f} GB of memory and {available / 2**30:.1f} GB are free"
            say(f"a training step needs about {gib}: to save memory, parts of each step are computed twice")
        return True

    def kept(self, latent: Tensor, probe: Callable[[Tensor], Tensor], weights: Iterable[Tensor]) -> float:
        """Bytes that autograd keeps of a pass over a latent (B, C, h, w), estimated by passes over small ones.

        What grows with the latent does so as its cells do, since attention keeps no maps. Beside it stand copies of
        weights: converted ones, and those of a model that is loaded layer by layer.
        """
        rows, channels, *size = latent.shape
        if channels not in self._kept:
            own = {one.untyped_storage().data_ptr() for one in weights if type(one) in (Tensor, Parameter)}
            small, large = (self._measured(latent.new_zeros(1, channels, side, side), probe, own) for side in PROBES)
            cell = (large - small) / (PROBES[1] ** 2 - PROBES[0] ** 2)
            self._kept[channels] = cell, max(small - cell * PROBES[0] ** 2, 0.0)
        cell, constant = self._kept[channels]
        return rows * size[0] * size[1] * cell + constant

    def _measured(self, latent: Tensor, probe: Callable[[Tensor], Tensor], own: Set[int]) -> float:
        sizes: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # the tensor itself may hold the graph that would hold it

        with self._without_listeners(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            output = probe(latent)  # holds what was saved, so that no address comes twice
            del output
        return sum(sizes.values())

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return self._in_block(), self._without_listeners()

    @contextmanager
    def _in_block(self) -> Iterator[None]:
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    @contextmanager
    def _without_listeners(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before


def free_memory(device: torch.device) -> float | None:
    """Bytes that a device has free, as far as the system says; None where it does not."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + unused)
    if device.type != "cpu":
        return None
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            fields = dict(line.split(":", 1) for line in lines)
    except OSError:
        return None
    return float(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None


def by_module(tensors: Mapping[str, Tensor], names: list[str]) -> dict[str, dict[str, Tensor]]:
    """For each of the modules named, those of a model's tensors that lie in it, by their names there."""
    found: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for full, tensor in tensors.items():
        parts = full.split(".")
        for length in range(1, len(parts)):
            inside = found.get(".".join(parts[:length]))
            if inside is not None:
                inside[".".join(parts[length:])] = tensor
    return found


def _takes_gradients() -> bool:
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
