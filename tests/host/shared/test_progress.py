"""Progress and the wish to stop: headless, inside ComfyUI, and where nobody listens."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

from concept_atelier.host.shared import progress
from concept_atelier.host.shared.progress import Counter, InterruptedRun, Session, check_interrupt, start_progress, use
from concept_atelier.host.workflow.graph import GraphNode
from concept_atelier.host.workflow.terminal import TerminalBar


def test_without_a_host_nothing_happens():
    check_interrupt()
    start_progress()(1, 2)


def test_a_session_receives_every_step_until_it_is_stopped():
    recorded = []
    with use(Session(report=lambda *step: recorded.append(step))) as session:
        progress = start_progress()
        progress(1, 3)
        progress(2, 3, "picture")
        session.stop = True
        with pytest.raises(InterruptedRun):
            progress(3, 3)
        with pytest.raises(InterruptedRun):
            check_interrupt()
    assert recorded == [(1, 3, None), (2, 3, "picture")]
    check_interrupt()


def test_a_counter_adds_up_and_never_shows_more_than_all():
    recorded = []
    with use(Session(report=lambda step, total, preview: recorded.append((step, total)))) as session:
        count = Counter(None, 5)
        count(2)
        count.total = 6
        count(3)
        count(3)
        session.stop = True
        with pytest.raises(InterruptedRun):
            count(1)
    assert recorded == [(2, 5), (5, 6), (6, 6)]


class Interrupted(Exception):
    pass


@pytest.fixture
def comfy(monkeypatch):
    """Stands where ComfyUI's modules would be."""
    state = SimpleNamespace(stop=False, updates=[])

    class ProgressBar:
        def __init__(self, total, node_id=None):
            state.bar = (total, node_id)

        def update_absolute(self, value, total=None, preview=None):
            state.updates.append((value, total, preview))

    def throw():
        if state.stop:
            raise Interrupted

    utils, management = ModuleType("comfy.utils"), ModuleType("comfy.model_management")
    utils.ProgressBar = ProgressBar
    management.throw_exception_if_processing_interrupted = throw
    names = {"folder_paths": ModuleType("folder_paths"), "comfy": ModuleType("comfy")}
    for name, module in (names | {"comfy.utils": utils, "comfy.model_management": management}).items():
        monkeypatch.setitem(sys.modules, name, module)
    return state


def test_inside_comfyui_its_bar_and_its_exception_are_used(comfy):
    progress = start_progress("12")
    progress(1, 4)
    progress(2, 4, "picture")
    assert comfy.bar == (4, "12")
    assert comfy.updates == [(1, 4, None), (2, 4, ("JPEG", "picture", 512))]
    comfy.stop = True
    with pytest.raises(Interrupted):
        progress(3, 4)


class Terminal(io.StringIO):
    def isatty(self):
        return True


NODE = GraphNode("7", "KSampler", "Sample it")


def test_a_terminal_gets_a_bar_that_moves():
    stream = Terminal()
    bar = TerminalBar(stream)
    bar.node(NODE, 0, 2)
    bar.step(5, 10, None)
    bar.note("stopping")
    bar.close()
    bar = "\u2588" * 12 + "\u2591" * 12
    assert stream.getvalue() == f"[1/2] Sample it (7)\r[1/2] Sample it (7) {bar} 5/10\nstopping\n"


def test_a_log_file_gets_a_line_a_node():
    stream = io.StringIO()
    bar = TerminalBar(stream)
    bar.node(NODE, 1, 2)
    bar.step(5, 10, None)
    bar.close()
    assert stream.getvalue() == "[2/2] Sample it (7)\n"


@pytest.fixture
def clock():
    """A forecast, and a function that lets seconds pass and asks it."""
    times = [0.0]
    forecast = progress.Forecast(lambda: times[0])

    def after(seconds, step, total):
        times[0] += seconds
        return forecast.after(step, total)

    return after


def test_what_takes_over_a_minute_is_announced_after_the_first_steps(clock):
    assert clock(0, 0, 1000) == ""
    assert clock(60.0, 1, 1000) == ""  # the first prepares what the others use
    assert clock(1.0, 3, 1000) == ""
    assert clock(2.0, 10, 1000) == "990 of 1000 steps left, about 6 minutes; cancel stops it within a step"
    assert clock(5, 12, 1000) == ""


def test_what_is_left_is_said_again_when_half_of_the_time_is_gone_and_at_the_speed_since_then(clock):
    assert clock(0, 0, 140) == ""
    assert clock(60.0, 1, 140) == ""
    assert clock(21.0, 4, 140).startswith("136 of 140 steps left, about 16 minutes; cancel")
    assert [clock(14.0, step, 140) for step in range(5, 38)] == [""] * 33  # twice as slow
    assert clock(14.0, 38, 140) == "102 of 140 steps left, about 24 minutes"
    assert clock(600.0, 88, 140) == ""
    assert clock(120.0, 138, 140) == ""  # what is left is short now
    assert clock(600.0, 139, 140) == ""


@pytest.mark.parametrize(
    ("seconds", "said"), [(70.0, "70 seconds"), (600.0, "10 minutes"), (7200.0, "2.0 hours"), (1e6, "hours")]
)
def test_announcements_are_in_seconds_minutes_or_hours(clock, seconds, said):
    clock(0, 0, 2)
    assert said in clock(seconds, 1, 2)


def test_what_is_short_is_not_announced_and_a_late_slow_step_neither(clock):
    assert clock(0, 0, 100) == "" and clock(0.1, 1, 100) == "" and clock(11.0, 99, 100) == ""
    assert clock(100.0, 1, 100) == ""


def test_announcements_reach_the_session(monkeypatch):
    said = []
    monkeypatch.setattr(progress, "JUDGED", 0.0)
    with progress.use(progress.Session(note=said.append)):
        tell = progress.start_progress()
        tell(0, 10**9)
        tell(1, 10**9)
        tell(2, 10**9)
    assert len(said) == 1 and "cancel stops it within a step" in said[0]
