"""Benches over Ray: the same rows as in process, whoever dies. Skipped where Ray is not installed."""

import os
import signal
import sys
from pathlib import Path

import pytest

from concept_atelier.bench.harness import Bench, Request, run
from concept_atelier.host.workflow.fan_out import over_ray


def prepare(request):
    return request.options.get("offset", 0)


def measure(prepared, request, index):
    """A square; once, in the case that the request names, the death of the process."""
    grave = Path(request.options["grave"])
    if index == request.options.get("dies_at") and not grave.exists():
        grave.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": prepared + index * index}


def total(rows, request):
    return {"sum": sum(row["value"] for row in rows)}


BENCH = Bench("squares", 1, prepare, measure, total, str)


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import test files
    return ray


def two_workers(prepare, numbers):
    return over_ray(prepare, numbers, workers=2)


def test_without_ray_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match="pip install ray"):
        next(over_ray(lambda: abs, [0]))


def test_two_workers_one_killed_give_the_same_result_and_cache(ray, tmp_path):
    options = {"grave": str(tmp_path / "grave"), "offset": 1}
    expected = run(BENCH, Request(6, options=options), cache=tmp_path / "local")
    deadly = Request(6, options=options | {"dies_at": 2})
    found = run(BENCH, deadly, cache=tmp_path / "ray", engine=two_workers)
    assert (tmp_path / "grave").exists()
    assert found["rows"] == expected["rows"] and found["summary"] == expected["summary"]
    measured = []
    kept = run(BENCH, deadly, cache=tmp_path / "ray", progress=lambda *done: measured.append(done))
    assert kept == found and measured == []
    assert not ray.is_initialized()
