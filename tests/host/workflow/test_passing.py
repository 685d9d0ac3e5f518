"""Switches and contexts of other packs, resolved before the graph runs."""

import pytest

from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.graph import Broken, Link, WorkflowError, read_api
from concept_atelier.host.workflow.passing import MAX_DEPTH, without_passing
from concept_atelier.host.workflow.runner import run_workflow
from concept_atelier.host.workflow.stock.primitives import PrimitiveBoolean, PrimitiveInt

ANY, CONTEXT = "Any Switch (rgthree)", "Context (rgthree)"


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def behind(registry, source, **others):
    """What feeds a node that shows ``source``, with two numbers and other nodes around it."""
    nodes = {"1": node("Number", value=1), "2": node("Number", value=2), **others, "9": node("Show", source=source)}
    graph = without_passing(read_api(nodes), registry)
    assert set(graph) >= {"1", "2", "9"}
    return graph["9"].inputs.get("source")


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"any_01": ["1", 0], "any_02": ["2", 0]}, Link("1", 0)),
        ({"any_02": ["2", 0]}, Link("2", 0)),
        ({"other": ["1", 0]}, None),
        ({}, None),
    ],
)
def test_any_switch_takes_the_first_that_is_there(registry, inputs, expected):
    assert behind(registry, ["5", 0], **{"5": node(ANY, **inputs)}) == expected


@pytest.mark.parametrize(("kind", "name"), [("ComfySwitchNode", "switch"), ("Switch any [Crystools]", "boolean")])
@pytest.mark.parametrize("on", [True, False])
def test_yes_or_no_takes_its_side(registry, kind, name, on):
    sides = {"on_true": ["1", 0], "on_false": ["2", 0]}
    expected = Link("1" if on else "2", 0)
    assert behind(registry, ["5", 0], **{"5": node(kind, **{name: on}, **sides)}) == expected
    held = {"5": node(kind, **{name: ["6", 0]}, **sides), "6": node("PrimitiveBoolean", value=on)}
    assert behind(registry, ["5", 0], **held) == expected


def test_a_numbered_switch_takes_what_it_selects(registry):
    inputs = {"input1": ["1", 0], "input2": ["2", 0]}
    assert behind(registry, ["5", 0], **{"5": node("ImpactSwitch", select=2, **inputs)}) == Link("2", 0)
    assert "selects input 3" in behind(registry, ["5", 0], **{"5": node("ImpactSwitch", select=3, **inputs)}).problem


def test_a_switch_is_set_from_outside(registry, tmp_path):
    inputs = {"input1": ["1", 0], "input2": ["2", 0]}
    nodes = {"1": node("Number", value=1), "2": node("Number", value=2), "5": node("ImpactSwitch", select=1, **inputs)}
    workflow = nodes | {"9": node("Show", source=["5", 0])}
    assert run_workflow(workflow, {"ImpactSwitch.select": "2"}, tmp_path, nodes=registry.values()).texts() == ["2"]
    with pytest.raises(WorkflowError, match="expected a whole number"):
        run_workflow(workflow, {"5.select": "two"}, tmp_path, nodes=registry.values())
    with pytest.raises(WorkflowError, match="has no input 'choose'"):
        run_workflow(workflow, {"5.choose": "2"}, tmp_path, nodes=registry.values())


def test_a_switch_that_the_run_sets_is_refused_where_it_is_needed(registry):
    switch = {"5": node("ImpactSwitch", select=["1", 0], input1=["2", 0])}
    nodes = {"1": node("Number", value=1), "2": node("Number", value=2), **switch}
    graph = without_passing(read_api(nodes | {"9": node("Show", source=["5", 0])}), registry)
    with pytest.raises(WorkflowError, match='node 5 .* its input "select" is set while the workflow runs'):
        check(graph, registry)
    idle = read_api(nodes | {"8": node("Add", a=["5", 0]), "9": node("Show", source=["1", 0])})
    assert check(without_passing(idle, registry), registry)["9"].inputs == {"source": Link("1", 0)}


def test_a_context_gives_its_own_and_else_that_of_its_base(registry):
    base = {
        "5": node(CONTEXT, model=["1", 0], seed=7),
        "6": node("Context Big (rgthree)", base_ctx=["5", 0], mask=["2", 0]),
    }
    assert behind(registry, ["6", 1], **base) == Link("1", 0)
    assert behind(registry, ["6", 8], **base) == 7
    assert behind(registry, ["6", 21], **base) == Link("2", 0)
    assert behind(registry, ["6", 2], **base) is None
    assert "context can only be read" in behind(registry, ["6", 0], **base).problem


def test_a_context_switch_takes_one_context_whole_and_a_merge_takes_the_last_of_each(registry):
    held = {
        "3": node(CONTEXT),
        "4": node(CONTEXT, model=["1", 0], clip=["1", 0]),
        "5": node(CONTEXT, model=["2", 0], vae=["2", 0]),
    }
    given = {"ctx_01": ["3", 0], "ctx_02": ["4", 0], "ctx_03": ["5", 0]}
    switch = {**held, "6": node("Context Switch (rgthree)", **given)}
    assert [behind(registry, ["6", slot], **switch) for slot in (1, 2, 3)] == [Link("1", 0), Link("1", 0), None]
    merge = {**held, "6": node("Context Merge Big (rgthree)", **given)}
    assert [behind(registry, ["6", slot], **merge) for slot in (1, 2, 3)] == [Link("2", 0), Link("1", 0), Link("2", 0)]


def test_contexts_from_elsewhere_are_refused(registry):
    held = {"5": node(CONTEXT, base_ctx=["7", 0]), "7": node("Some Pipe")}
    assert "a context comes from node 7" in behind(registry, ["5", 1], **held).problem


@pytest.mark.parametrize("length", [50, 5000])
def test_long_chains_and_circles_end(registry, length):
    chain = {
        f"{k}": node(ANY, any_01=[f"{k + 1}" if k + 1 < 100 + length else "1", 0]) for k in range(100, 100 + length)
    }
    bases = {
        f"{k}": node(CONTEXT, base_ctx=[f"{k + 1}", 0]) if k + 1 < 100 + length else node(CONTEXT, model=["1", 0])
        for k in range(100, 100 + length)
    }
    for found in (behind(registry, ["100", 0], **chain), behind(registry, ["100", 1], **bases)):
        assert found == Link("1", 0) if length < MAX_DEPTH else isinstance(found, Broken)
    loop = {"5": node(ANY, any_01=["6", 0]), "6": node(ANY, any_01=["5", 0])}
    assert "feeds itself" in behind(registry, ["5", 0], **loop).problem
    own = {"5": node(CONTEXT, base_ctx=["5", 0])}
    assert "feeds itself" in behind(registry, ["5", 1], **own).problem


def test_switches_of_drawn_workflows_run(canvas, toys, tmp_path):
    from concept_atelier.host.workflow.registry import Registry

    registry = Registry([toys.Number, toys.Show, PrimitiveBoolean, PrimitiveInt])
    drawing = canvas().node(1, "PrimitiveInt", outputs=[("INT", "INT")], values=[41, "fixed"])
    drawing.node(2, "Number", outputs=[("number", "INT")], values=[5])
    drawing.node(
        3, "ComfySwitchNode", [("on_false", "*"), ("on_true", "*"), ("switch", "BOOLEAN", True)], [("o", "*")], [True]
    )
    drawing.node(4, "Show", [("source", "*")]).wire(2, 0, 3, 0).wire(1, 0, 3, 1).wire(3, 0, 4, 0)
    assert run_workflow(drawing.workflow(), out=tmp_path, nodes=registry.values()).texts() == ["41"]
