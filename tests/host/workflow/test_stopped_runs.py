"""Runs in a process of their own that are stopped by signals, in a node and in the middle of a save."""

import json
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from concept_atelier.host.files.saving import sweep


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


DRIVER = """
import argparse, sys, time
from concept_atelier.commands import run
from concept_atelier.nodes import headless
from concept_atelier.host.files.folders import atomic_write, current
from concept_atelier.host.shared.progress import start_progress
from concept_atelier.host.schema import io, ui

class Slow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema("Slow", inputs=[io.Boolean.Input("deaf")], is_output_node=True)

    @classmethod
    def execute(cls, deaf):
        progress = start_progress()
        with atomic_write(current().output / "slow.txt") as path:
            path.write_text("half")
            for step in range(600):
                time.sleep(0.05)
                deaf or progress(step, 600)
        return io.NodeOutput()

class First(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema("First", is_output_node=True)

    @classmethod
    def execute(cls):
        return io.NodeOutput(ui=ui.PreviewText("first"))

headless.HEADLESS_NODES = (First, Slow)
parser = argparse.ArgumentParser()
run.add_arguments(parser)
sys.exit(run.main(parser.parse_args(sys.argv[1:])))
"""


@pytest.fixture
def slow_run(tmp_path):
    """A run in a process of its own, in the middle of writing ``slow.txt``."""
    (tmp_path / "driver.py").write_text(textwrap.dedent(DRIVER))
    out = tmp_path / "out"
    out.mkdir()
    (out / "slow.txt").write_text("old")
    started = []

    def start(deaf):
        graph = {"1": node("First"), "2": node("Slow", deaf=deaf)}
        (tmp_path / "w.json").write_text(json.dumps(graph))
        command = [sys.executable, tmp_path / "driver.py", tmp_path / "w.json", "--out", out]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            if [path.read_text() for path in out.glob(".atelier-*")] == ["half"]:  # the name exists before the text
                return process
            time.sleep(0.05)
        raise AssertionError(f"the run did not start: {process.stderr.read() if process.poll() is not None else ''}")

    yield start
    for process in started:
        process.kill()
        process.communicate()


def left_in(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_at_the_next_step_with_exit_code_130(slow_run, tmp_path, number):
    process = slow_run(deaf=False)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert 'finished: node 1 "First" (First)' in said
    assert "Traceback" not in said
    assert left_in(tmp_path / "out") == {"slow.txt": "old"}


def test_a_second_ctrl_c_stops_a_node_that_does_not_listen(slow_run, tmp_path):
    process = slow_run(deaf=True)
    process.send_signal(signal.SIGINT)
    # Two signals that arrive before the first is handled count as one.
    assert any("stopping after this step" in line for line in process.stderr)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert left_in(tmp_path / "out") == {"slow.txt": "old"}


def test_a_kill_in_the_middle_of_a_save_leaves_the_old_file_and_what_the_next_run_sweeps(slow_run, tmp_path):
    process = slow_run(deaf=True)
    process.kill()
    process.communicate(timeout=300)
    left = left_in(tmp_path / "out")
    assert left.pop("slow.txt") == "old" and list(left.values()) == ["half"]
    sweep(tmp_path / "out")
    assert left_in(tmp_path / "out") == {"slow.txt": "old"}
