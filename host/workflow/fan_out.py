"""Work that falls into numbered pieces, done in this process or over many with Ray (optional: ``pip install ray``).

Which cluster is Ray's own setting (``RAY_ADDRESS``); without one, a local cluster is started for the run. A worker
that dies is replaced and its piece done again, so pieces must depend on their number alone.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

RETRIES = 3

Result = TypeVar("Result")
Work = Callable[[int], Result]
"""One piece by its number."""


def in_process(prepare: Callable[[], Work[Result]], numbers: Iterable[int]) -> Iterator[tuple[int, Result]]:
    """One piece after the other; ``prepare`` loads what all of them need and returns what does one."""
    work = prepare()
    for number in numbers:
        yield number, work(number)


class Worker:
    """One process: everything is loaded once, then piece after piece is done."""

    def __init__(self, prepare: Callable[[], Work[Any]]) -> None:
        self.work = prepare()

    def do(self, number: int) -> tuple[int, Any]:
        """A result with its number."""
        return number, self.work(number)


def over_ray(
    prepare: Callable[[], Work[Result]], numbers: Iterable[int], workers: int | None = None
) -> Iterator[tuple[int, Result]]:
    """As :func:`in_process` on a Ray cluster, one worker a CPU unless a number is given; results come in any order.

    Raises:
        ModuleNotFoundError: when Ray is not installed, saying how to install it.
    """
    ray = _import_ray()
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False, num_cpus=workers)
    try:
        yield from _do_all(ray, prepare, list(numbers), workers)
    finally:
        if started:
            ray.shutdown()


ENGINES = {"local": in_process, "ray": over_ray}


def _do_all(
    ray: Any, prepare: Callable[[], Work[Result]], numbers: list[int], workers: int | None
) -> Iterator[tuple[int, Result]]:
    """Hand every worker one piece at a time, and give results as they come."""
    count = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(numbers))
    remote = ray.remote(num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES)(Worker)
    idle = [remote.remote(prepare) for _ in range(count)]
    busy: dict[Any, Any] = {}
    while numbers or busy:
        while numbers and idle:
            worker = idle.pop()
            busy[worker.do.remote(numbers.pop(0))] = worker
        (done,), _ = ray.wait(list(busy), num_returns=1)
        idle.append(busy.pop(done))
        yield ray.get(done)


def _import_ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--engine ray needs Ray, which is not installed: pip install ray") from error
    return ray
