"""Where training runs: the device, and the processes that draw scenes for it."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Machine:
    """``device`` as torch names it. ``drawers``: processes that draw scenes while others are trained on; with none,
    scenes are drawn once, before."""

    device: str = "cpu"
    drawers: int = 0

    @contextmanager
    def executor(self) -> Iterator[ProcessPoolExecutor]:
        """The processes that draw; they begin anew, because a process that has used CUDA cannot be copied."""
        pool = ProcessPoolExecutor(max(1, self.drawers), get_context("spawn"), initializer=use_one_thread)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def each(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> list[Result]:
        """``work`` of every task, in order: in this process, or by the drawers."""
        if self.drawers == 0:
            return [work(task) for task in tasks]
        with self.executor() as pool:
            return list(pool.map(work, tasks))


def use_one_thread() -> None:
    """Of a process that draws: the others use the other cores. The tokenizer reads this when it first encodes."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)


CPU = Machine()
