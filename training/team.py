"""Several processes that train one model: each takes a batch of its own, and all take the step of the mean gradient.

Of two cores, two processes of one thread each make more than one process of two threads.
"""

import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor


@dataclass(frozen=True)
class Team:
    """Who this process is: number ``rank`` of ``size``. A team of one does nothing but pass its gradients on."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process keeps the average and writes the files."""
        return self.rank == 0

    def share_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace the gradient of every parameter by the team's mean."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = flat.div_(self.size).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def agree(self, value: float) -> float:
        """The leader's value, for all."""
        if self.size == 1:
            return value
        leading = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(leading, 0)
        return float(leading)

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier()


def launch(workers: int, work: Callable[..., None], *arguments: Any) -> None:
    """Call ``work(team, *arguments)`` in so many processes and wait for them; one works in this process.

    Raises:
        ValueError: for fewer than one worker.
        torch.multiprocessing.ProcessRaisedException: when one of them failed; the others are ended.
    """
    if workers < 1:
        raise ValueError(f"training needs at least 1 worker, got {workers}")
    if workers == 1:
        work(Team(), *arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_join, (workers, Path(folder) / "meeting", work, arguments), nprocs=workers)  # type: ignore[no-untyped-call, unused-ignore]


def _join(rank: int, size: int, meeting: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    try:
        work(Team(rank, size), *arguments)
    finally:
        dist.destroy_process_group()
