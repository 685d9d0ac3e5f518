"""The queue of all benches: every command is one that the command line takes, and it goes on after a failure."""

from pathlib import Path

import pytest

from concept_atelier.__main__ import build_parser
from concept_atelier.bench.all.all import run_queue
from concept_atelier.bench.all.estimates import estimate_queue
from concept_atelier.bench.all.queue import queue


@pytest.mark.parametrize("command", sorted({command.split()[0] for command in queue().values()}))
def test_every_command_is_taken_by_the_command_line(command):
    given = [line.split() for line in queue().values() if line.split()[0] == command]
    for words in given:
        args = build_parser(["bench", *words]).parse_args(["bench", *words])
        assert args.bench == command and args.cases >= (1 if args.controls else 4)


def test_no_two_files_hold_the_same_figures():
    commands = queue()
    assert len(set(commands.values())) == len(commands) > 40
    assert "localize/unseen_seed2.json" in commands and "learn/far_seed1_test.json" in commands


def test_a_control_that_does_not_fall_is_reported_at_the_end_and_a_stop_at_once(tmp_path):
    seen = []

    def run(words):
        seen.append(words)
        return {"a": 1, "b": 0, "c": 130, "d": 0}[words[1]]

    assert run_queue({"1.json": "a", "2.json": "b --cases 4"}, tmp_path, run) == 1
    assert seen[1] == ["bench", "b", "--cases", "4", "--json", str(tmp_path / "2.json")]
    assert run_queue({"3.json": "c", "4.json": "d"}, tmp_path, run) == 130 and len(seen) == 3


def test_estimates_add_up_to_hours_and_leave_no_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(words):
        assert "--estimate" in words
        path = Path(words[words.index("--json") + 1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"whole_s": 5400}')
        return 0

    assert estimate_queue({"learn/1.json": "a", "2.json": "b"}, run) == 0
    assert "2 of 2 commands: 3.0 hours" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_commands_that_do_the_same_for_each_case_are_measured_once(capsys):
    ran = []

    def run(words):
        ran.append(words[1 : words.index("--estimate")])
        Path(words[words.index("--json") + 1]).write_text('{"whole_s": 60, "case_s": 10, "loading_s": 10, "cases": 5}')
        return 0

    commands = {"1": "a --cases 5", "2": "a --cases 11 --seed 2", "3": "a", "4": "b --cases 5"}
    assert estimate_queue(commands, run) == 0
    assert ran == [["a", "--cases", "5"], ["a"], ["b", "--cases", "5"]]
    lines = capsys.readouterr().out.splitlines()
    assert "2: 2.0 minutes" in lines and lines.index("1: 1.0 minutes") < lines.index("2: 2.0 minutes")
    assert lines[-1] == "4 of 4 commands: 0.1 hours of one core"
