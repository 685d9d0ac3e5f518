"""Time as a ratio of interleaved runs, memory as what is allocated at most and what stays."""

import ctypes
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

Job = Callable[[], Any]
MB = 2**20


@dataclass(frozen=True)
class Time:
    """What a job took: seconds on the clock, and of this process's own processor time."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Memory:
    """Bytes of tensors on the CPU that a job allocated: the most at once, and what it had not freed at its end."""

    peak: int
    kept: int


def timed(job: Job) -> Time:
    """Run a job and take its time."""
    wall, cpu = time.perf_counter(), time.process_time()
    job()
    return Time(time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(plain: Job, ours: Job, repetitions: int) -> tuple[list[Time], list[Time]]:
    """Run two jobs in turn, so that whatever else the machine does meets both; every other time ours comes first."""
    times: tuple[list[Time], list[Time]] = ([], [])
    for number in range(repetitions):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            times[which].append(timed((plain, ours)[which]))
    return times


def ratios(plain: Sequence[Time], ours: Sequence[Time]) -> dict[str, Any]:
    """Medians in seconds; the median, least and greatest ratio of runs that followed each other, by the clock; the
    same median by processor time, which other work on the machine disturbs less."""
    wall = [b.wall / a.wall for a, b in zip(plain, ours, strict=True)]
    cpu = [b.cpu / a.cpu for a, b in zip(plain, ours, strict=True)]
    return {
        "plain_s": _round(statistics.median(one.wall for one in plain)),
        "ours_s": _round(statistics.median(one.wall for one in ours)),
        "ratio": _round(statistics.median(wall)),
        "ratio_range": [_round(min(wall)), _round(max(wall))],
        "cpu_ratio": _round(statistics.median(cpu)),
        "cpu_ratio_range": [_round(min(cpu)), _round(max(cpu))],
        "repetitions": len(wall),
    }


def memory_of(job: Job) -> Memory:
    """Run a job and follow every allocation of a tensor on the CPU, temporaries inside operators included.

    Every block that torch's CPU allocator hands out or takes back is counted. Resident memory would not do: what is
    freed stays with the process, so that a second run grows less than the first whatever it computes.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        job()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        watched.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    blocks = [event for event in events if event.get("name") == "[memory]" and event["args"]["Device Type"] == 0]
    held = peak = 0
    for event in sorted(blocks, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return Memory(peak, held)


def resident_growth(job: Job) -> float | None:
    """Run a job; by how many MB the process's resident memory grew at most. None where the system does not say.

    For long jobs, of which :func:`memory_of` would note millions of blocks. What the process holds free is given back
    to the system first, where its C library can do that (glibc): a job served out of it would seem to need none.
    """
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        job()
        return None
    _give_free_memory_back()
    reset.write_text("5", encoding="utf-8")  # the peak begins anew
    before = _resident(status, "VmRSS")
    job()
    return _round((_resident(status, "VmHWM") - before) / 1024)


def megabytes(count: int) -> float:
    """Bytes as MB of 2**20."""
    return _round(count / MB)


def _give_free_memory_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident(status: Path, field: str) -> int:
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith(field))
    return int(line.split()[1])


def _round(value: float) -> float:
    return float(f"{value:.4g}")
