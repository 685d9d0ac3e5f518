"""What Capture Attention costs beside the sampling run that it records. Run under inference mode, as nodes are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...core.attention.record import AttentionRecorder
from ...core.backbone import AttentionCall
from .ground import Ground, Shape
from .meters import Time, interleaved, megabytes, memory_of, ratios, timed
from .settings import CostSettings


def capture_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """A sampling run with Capture Attention against the same run without.

    Without guidance there is one row for the model to compute and one to record: the most expensive case.
    """
    listening = captured(ground)
    plain = memory_of(lambda: ground.sample(ground.model, shape.side, settings.steps))
    ours = memory_of(lambda: ground.sample(listening, shape.side, settings.steps))
    times = interleaved(
        lambda: ground.sample(ground.model, shape.side, settings.steps),
        lambda: ground.sample(listening, shape.side, settings.steps),
        settings.repetitions,
    )
    memory = {
        "plain_peak_mb": megabytes(plain.peak),
        "ours_peak_mb": megabytes(ours.peak),
        "more_mb": megabytes(ours.peak - plain.peak),
        "kept_mb": megabytes(ours.kept - plain.kept),
    }
    return ratios(*times) | memory | {"steps": settings.steps, "guidance": 1.0}


def listening_cost(ground: Ground, shape: Shape, settings: CostSettings) -> dict[str, Any]:
    """The share of a captured run's processor time that goes into the maps, taken inside the run itself: where other
    work disturbs two runs by more than they differ, this still tells. ``cpu_ratio`` is the whole to the rest."""
    spent: list[Time] = []
    with timed_maps(spent):
        listening = captured(ground)
        runs = [
            timed(lambda: ground.sample(listening, shape.side, settings.steps)) for _ in range(settings.repetitions)
        ]
    whole, maps = (sum(one.cpu for one in times) for times in (runs, spent))
    return {
        "cpu_s": round(whole / len(runs), 3),
        "in_maps_cpu_s": round(maps / len(runs), 4),
        "cpu_ratio": round(whole / (whole - maps), 4),
        "steps": settings.steps,
        "guidance": 1.0,
        "repetitions": len(runs),
    }


def captured(ground: Ground, **changes: Any) -> Any:
    """The MODEL that Capture Attention gives, with what its widgets say by default, or other values of theirs."""
    from ...nodes import CaptureAttention

    chosen = {"least_grid": 8, "greatest_grid": 128, "stages": "down and up", "start_percent": 0.0, "end_percent": 1.0}
    return CaptureAttention.execute(ground.model, **(chosen | changes)).result[0]


@contextmanager
def timed_maps(spent: list[Time]) -> Iterator[None]:
    """Within the context every recorder's work is timed."""
    plain = AttentionRecorder.tap

    def tap(recorder: AttentionRecorder, call: AttentionCall) -> None:
        spent.append(timed(lambda: plain(recorder, call)))

    AttentionRecorder.tap = tap  # type: ignore[method-assign]
    try:
        yield
    finally:
        AttentionRecorder.tap = plain  # type: ignore[method-assign]
