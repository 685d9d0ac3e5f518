"""Running graphs: what runs, what is reused, what is left behind, and how a run stops."""

import json
import os
import signal
from datetime import date

import pytest
import torch
from PIL import Image

from concept_atelier.host.schema import io, ui
from concept_atelier.host.workflow.execution import NodeFailedError
from concept_atelier.host.workflow.graph import WorkflowError
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.host.workflow.runner import StoppedRunError, run_workflow


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


@pytest.fixture
def run(tmp_path, registry):
    def go(workflow, overrides=None, **settings):
        settings.setdefault("nodes", registry.values())
        return run_workflow(workflow, overrides, tmp_path / "out", **settings)

    return go


SUM = {"1": node("Number", value=4), "2": node("Add", a=["1", 0], b=5), "3": node("Show", source=["2", 0])}


def test_values_flow_and_texts_are_collected(run):
    result = run(SUM)
    assert result.output("Add") == 9
    assert result.texts() == ["9"]
    assert list(result.results) == ["1", "2", "3"]


def test_overrides_change_the_result(run):
    assert run(SUM, {"Number.value": "40"}).texts() == ["45"]


def test_a_ui_workflow_runs_and_its_pictures_carry_it(run, canvas, tmp_path):
    drawing = canvas().node(1, "Grey", outputs=[("image", "IMAGE")], values=[0.25])
    drawing.node(2, "Save", [("images", "IMAGE")], values=["sub/grey"]).wire(1, 0, 2, 0)
    workflow = drawing.workflow()
    (path,) = run(workflow).files
    assert path == tmp_path / "out/sub/grey_00001_.png"
    with Image.open(path) as picture:
        assert picture.size == (6, 4)
        assert picture.getpixel((0, 0)) == (63, 63, 63)
        assert json.loads(picture.info["workflow"]) == workflow
        assert json.loads(picture.info["prompt"])["1"]["inputs"] == {"level": 0.25}


def test_numbers_of_pictures_count_on(run):
    workflow = {"1": node("Grey", level=0.5), "2": node("Save", images=["1", 0], filename_prefix="x")}
    names = [run(workflow).files[0].name for _ in range(3)]
    assert names == ["x_00001_.png", "x_00002_.png", "x_00003_.png"]


@pytest.mark.parametrize(
    ("prefix", "name"),
    [
        ("%year%-%month%-%day%/%width%x%height%", f"{date.today()}/6x4_00001_.png"),
        ("a%batch_num%", "a0_00001_.png"),
        ("%date:yyyy-MM-dd%/x", f"{date.today()}/x_00001_.png"),
        ("%LoadImage.image%", "p.png_00001_.png"),
    ],
)
def test_prefixes_are_filled_in_before_they_are_checked(tmp_path, prefix, name):
    Image.new("RGB", (6, 4)).save(tmp_path / "p.png")
    workflow = {"1": node("LoadImage", image="p.png"), "2": node("SaveImage", images=["1", 0], filename_prefix="x")}
    given = {"SaveImage.filename_prefix": prefix}
    result = run_workflow(workflow, given, tmp_path / "out", input=tmp_path)
    assert result.files == (tmp_path / "out" / name,)


@pytest.mark.parametrize("prefix", ["", "%date:%", "../x", "a:b"])
def test_a_prefix_that_names_no_file_is_refused_before_anything_runs(tmp_path, prefix):
    Image.new("RGB", (6, 4)).save(tmp_path / "p.png")
    workflow = {"1": node("LoadImage", image="p.png"), "2": node("SaveImage", images=["1", 0], filename_prefix=prefix)}
    with pytest.raises(WorkflowError, match="filename_prefix"):
        run_workflow(workflow, {}, tmp_path / "out", input=tmp_path)


class Say(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [io.String.Input("text", dynamic_prompts=True)]
        return io.Schema(node_id="Say", inputs=inputs, is_output_node=True)

    @classmethod
    def execute(cls, text):
        return io.NodeOutput(ui=ui.PreviewText(text))


def test_prompts_of_drawn_workflows_are_resolved_with_a_seed_and_the_pictures_prompt_says_how(run, canvas):
    drawing = canvas().node(1, "Say", values=["a {cat|dog|bird} // note"]).workflow()
    runs = [run(drawing, nodes=[Say], prompt_seed=seed) for seed in (0, 0, 1, 2, 3, 4)]
    said = [result.texts()[0] for result in runs]
    assert said[0] == said[1] and set(said) <= {"a cat ", "a dog ", "a bird "} and len(set(said)) > 1
    for result, text in zip(runs, said, strict=True):
        assert result.graph["1"].inputs["text"] == text
        assert "of '{cat|dog|bird}'" in result.warnings[0] and f"it reads {text!r}" in result.warnings[0]
    assert run(drawing, {"Say.text": "{x|x}"}, nodes=[Say]).texts() == ["x"]


def counting(calls, **fields):
    class Counter(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            inputs = [io.Int.Input("x", default=0)]
            return io.Schema("Counter", inputs=inputs, outputs=[io.Int.Output("y")], **fields)

        @classmethod
        def execute(cls, x):
            calls.append(x)
            return io.NodeOutput(x)

    return Counter


def test_only_what_outputs_need_runs_and_each_node_once(run, toys):
    calls = []
    registry = Registry([counting(calls), toys.Show, toys.Add])
    graph = {
        "1": node("Counter", x=1),
        "2": node("Counter", x=2),
        "3": node("Add", a=["1", 0], b=["1", 0]),
        "4": node("Show", source=["3", 0]),
        "5": node("Show", source=["1", 0]),
    }
    run(graph, nodes=registry.values())
    assert calls == [1]


def test_a_cache_reuses_what_did_not_change(run, toys):
    calls, cache = [], {}
    registry = Registry([counting(calls), toys.Show])
    graph = {"1": node("Counter", x=1), "2": node("Counter", x=["1", 0]), "4": node("Show", source=["2", 0])}
    for value in (1, 1, 2):
        assert run(graph, {"1.x": value}, nodes=registry.values(), cache=cache).texts() == [str(value)]
    assert calls == [1, 1, 2, 2]


@pytest.mark.parametrize(("marks", "times"), [((1, 1), 1), ((1, 2), 2), ((float("nan"),) * 2, 2)])
def test_fingerprints_decide_whether_a_node_runs_again(run, toys, marks, times):
    calls, cache, left = [], {}, list(marks)

    class Marked(counting(calls)):
        @classmethod
        def fingerprint_inputs(cls, x):
            return left.pop(0)

    graph = {"1": node("Counter", x=1), "4": node("Show", source=["1", 0])}
    for _ in marks:
        run(graph, nodes=[Marked, toys.Show], cache=cache)
    assert len(calls) == times


def test_a_failing_node_is_named_and_what_was_done_is_kept(run):
    graph = {"1": node("Number", value=4), "2": node("Fails", number=["1", 0]), "3": node("Show", source=["2", 0])}
    with pytest.raises(NodeFailedError, match=r'node 2 "Fails" \(Fails\) failed: 4 is no good') as caught:
        run(graph)
    assert list(caught.value.result) == ["1"]
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_blocking_node_keeps_what_follows_from_running(run):
    graph = {
        "1": node("Blocks", number=1),
        "2": node("Add", a=["1", 0], b=1),
        "3": node("Show", source=["2", 0]),
        "4": node("Show", source="untouched"),
    }
    result = run(graph)
    assert result.blocked == {"2": "no concept was found", "3": "no concept was found"}
    assert result.texts() == ["untouched"]


def test_lists_run_a_node_per_element_and_can_be_gathered(run):
    graph = {
        "1": node("Spread", count=4),
        "2": node("Add", a=["1", 0], b=10),
        "3": node("Total", numbers=["2", 0]),
        "4": node("Show", source=["3", 0]),
        "5": node("Show", source=["2", 0]),
    }
    result = run(graph)
    assert result.texts("4") == ["46"]
    assert result.texts("5") == ["10", "11", "12", "13"]


def test_nodes_run_under_inference_mode_on_a_locked_class(run, toys):
    seen = {}

    class Probe(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema("Probe", outputs=[], is_output_node=True)

        @classmethod
        def execute(cls):
            seen["inference"] = torch.is_inference_mode_enabled()
            with pytest.raises(AttributeError, match="keep no state"):
                cls.memory = 1
            return io.NodeOutput()

    run({"1": node("Probe")}, nodes=[Probe])
    assert seen == {"inference": True}
    assert not torch.is_inference_mode_enabled()


def test_hidden_values_reach_those_that_ask_only(run):
    result = run({"7": node("WhoAmI"), "8": node("Show", source=["7", 0])})
    assert result.texts() == ["7 None"]


def test_asynchronous_nodes_are_awaited(run):
    class Later(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema("Later", is_output_node=True)

        @classmethod
        async def execute(cls):
            return io.NodeOutput(ui={"text": ["later"]})

    assert run({"1": node("Later")}, nodes=[Later]).texts() == ["later"]


@pytest.mark.parametrize("returned", [7, (1, 2)])
def test_a_wrong_return_is_reported(run, toys, returned):
    class Wrong(toys.Number):
        @classmethod
        def execute(cls, value):
            return returned

    graph = {"1": node("Number", value=4), "3": node("Show", source=["1", 0])}
    with pytest.raises(NodeFailedError, match="execute"):
        run(graph, nodes=[Wrong, toys.Show])


def test_a_stop_between_steps_keeps_what_is_finished(run, toys):
    class Stops(toys.Number):
        @classmethod
        def execute(cls, value):
            os.kill(os.getpid(), signal.SIGINT)
            return io.NodeOutput(value)

    graph = {"1": node("Number", value=4), "2": node("Slow", number=["1", 0]), "3": node("Show", source=["2", 0])}
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StoppedRunError, match=r'finished: node 1 "Number"') as caught:
        run(graph, nodes=[Stops, toys.Slow, toys.Show])
    assert list(caught.value.result.results) == ["1"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_place_that_takes_no_results_is_said_before_anything_runs(tmp_path, registry):
    (tmp_path / "file").touch()
    fails = {"1": node("Number", value=4), "2": node("Fails", number=["1", 0]), "3": node("Show", source=["2", 0])}
    for out in ("file", "file/below/it"):
        with pytest.raises(NotADirectoryError, match="file is a file, no folder"):
            run_workflow(fails, None, tmp_path / out, nodes=registry.values())
