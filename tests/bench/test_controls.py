"""Controls: they spoil what they say, and say so when a bench does not notice."""

import argparse
import json

from concept_atelier.bench.command import add_common_arguments, run_command
from concept_atelier.bench.controls import Control, controls_table, run_controls
from concept_atelier.bench.harness import Bench, Request


def honest(prepared, request, index):
    return {"value": 0.0 if request.untrained or request.options.get("spoiled") else 1.0}


def flattering(prepared, request, index):
    return {"value": 1.0}


def mean(rows, request):
    return {"value": sum(row["value"] for row in rows) / len(rows)}


def bench(measure):
    return Bench("some", 1, lambda request: None, measure, mean, lambda result: "table\n")


CONTROLS = (
    Control("untrained", "random weights", lambda summary: summary["value"], 0.1, untrained=True),
    Control("spoiled", "spoiled masks", lambda summary: summary["value"], 0.1, {"spoiled": True}),
)


def test_an_honest_bench_falls_and_a_flattering_one_is_found_out():
    asked = Request(5, options={"preset": "lab"})
    found = run_controls(bench(honest), CONTROLS, asked, 2)
    assert [control["falls"] for control in found.values()] == [True, True]
    assert {control["cases"] for control in found.values()} == {2}
    caught = run_controls(bench(flattering), CONTROLS, asked, 2)
    assert not any(control["falls"] for control in caught.values())
    assert "DOES NOT FALL" in controls_table(caught) and "DOES NOT" not in controls_table(found)


def test_a_control_keeps_what_else_was_asked():
    spoiled = CONTROLS[1].request(Request(5, 3, "test", options={"preset": "lab"}), 2)
    assert (spoiled.cases, spoiled.seed, spoiled.split) == (2, 3, "test")
    assert spoiled.options == {"preset": "lab", "spoiled": True} and not spoiled.untrained
    assert CONTROLS[0].request(Request(5), 2).untrained


def run(measure, tmp_path, *words):
    parser = argparse.ArgumentParser()
    add_common_arguments(parser, cases=3)
    args = parser.parse_args([*words, "--fresh", "--json", str(tmp_path / "figures.json")])
    status = run_command(bench(measure), args, {}, CONTROLS)
    return status, json.loads((tmp_path / "figures.json").read_text())


def test_the_command_fails_when_a_control_does_not_fall(tmp_path, capsys):
    status, written = run(honest, tmp_path, "--controls", "2")
    assert status == 0 and written["controls"]["spoiled"]["figure"] == 0
    assert "falls, as it must" in capsys.readouterr().out
    assert run(flattering, tmp_path, "--controls", "2")[0] == 1
    status, written = run(flattering, tmp_path)
    assert status == 0 and "controls" not in written
