"""Benches over many processes or machines with Ray (optional: ``pip install ray``).

The same cases, cache and results as in process. Which cluster is Ray's own setting (``RAY_ADDRESS``); without one, a
local cluster is started for the run. A worker that dies is replaced and its case measured again.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from .harness import Bench, Request, Row

RETRIES = 3


class Worker:
    """One process: the model is loaded once, then case after case is measured."""

    def __init__(self, bench: Bench, request: Request) -> None:
        self.bench, self.request = bench, request
        self.prepared = bench.prepare(request)

    def measure(self, index: int) -> tuple[int, Row]:
        """A row with its number."""
        return index, self.bench.measure(self.prepared, self.request, index)


def over_ray(
    bench: Bench, request: Request, indexes: Iterable[int], workers: int | None = None
) -> Iterator[tuple[int, Row]]:
    """Work off cases on a Ray cluster, one worker a CPU unless told how many.

    Raises:
        ModuleNotFoundError: when Ray is not installed, saying how to install it.
    """
    ray = _import_ray()
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False, num_cpus=workers)
    try:
        yield from _measure_all(ray, bench, request, list(indexes), workers)
    finally:
        if started:
            ray.shutdown()


def _measure_all(
    ray: Any, bench: Bench, request: Request, indexes: list[int], workers: int | None
) -> Iterator[tuple[int, Row]]:
    """Hand every worker one case at a time, and give rows as they come."""
    count = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(indexes))
    remote = ray.remote(num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES)(Worker)
    idle = [remote.remote(bench, request) for _ in range(count)]
    busy: dict[Any, Any] = {}
    while indexes or busy:
        while indexes and idle:
            worker = idle.pop()
            busy[worker.measure.remote(indexes.pop(0))] = worker
        (done,), _ = ray.wait(list(busy), num_returns=1)
        idle.append(busy.pop(done))
        yield ray.get(done)


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--engine ray needs Ray, which is not installed: pip install ray") from error
    return ray
