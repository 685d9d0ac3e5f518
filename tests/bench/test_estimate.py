"""An estimate counts every case of a run and of its controls."""

import json
import time

import pytest

from concept_atelier.bench.controls import Control
from concept_atelier.bench.estimate import CASES, estimate
from concept_atelier.bench.harness import Bench, Request


def _busy(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cases_and_controls_are_counted_and_few_are_measured(tmp_path):
    measured = []

    def measure(prepared, request, index):
        measured.append(index)
        _busy(0.02)
        return {}

    bench = Bench("busy", 1, lambda request: _busy(0.05), measure, lambda rows, request: {}, lambda result: "")
    controls = [Control("spoiled", "spoiled", lambda summary: 0.0, 0.1)] * 2
    found = estimate(bench, Request(40), controls, control_cases=5)
    assert len(set(measured)) == len(measured) == CASES and all(0 <= index < 40 for index in measured)
    assert found.cases == 50
    assert found.case == pytest.approx(0.02, rel=0.5) and found.loading == pytest.approx(0.05, rel=0.5)
    assert found.seconds == found.loading + 50 * found.case
    found.save(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text())["whole_s"] == found.seconds
    assert estimate(bench, Request(1)).cases == 1 and measured[CASES:] == [0]


def test_one_long_case_is_enough(monkeypatch):
    monkeypatch.setattr("concept_atelier.bench.estimate.LONG", 0.01)
    measured = []

    def measure(prepared, request, index):
        measured.append(index)
        _busy(0.02)
        return {}

    bench = Bench("busy", 1, lambda request: None, measure, lambda rows, request: {}, lambda result: "")
    assert estimate(bench, Request(40)).case == pytest.approx(0.02, rel=0.5) and len(measured) == 1
