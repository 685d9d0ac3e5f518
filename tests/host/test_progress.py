"""Progress and the wish to stop: headless, inside ComfyUI, and where nobody listens."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest

from concept_atelier.host.graph import GraphNode
from concept_atelier.host.progress import InterruptedRun, Session, check_interrupt, start_progress, use
from concept_atelier.host.terminal import TerminalBar


def test_without_a_host_nothing_happens():
    check_interrupt()
    start_progress()(1, 2)


def test_a_session_hears_every_step_until_it_is_stopped():
    heard = []
    with use(Session(report=lambda *step: heard.append(step))) as session:
        progress = start_progress()
        progress(1, 3)
        progress(2, 3, "picture")
        session.stop = True
        with pytest.raises(InterruptedRun):
            progress(3, 3)
        with pytest.raises(InterruptedRun):
            check_interrupt()
    assert heard == [(1, 3, None), (2, 3, "picture")]
    check_interrupt()


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
