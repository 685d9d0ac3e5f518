"""Drawn workflows of any shape and length are opened in linear time, or refused by what is wrong with them."""

import itertools
import time

import pytest

from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.flatten import MAX_LEVELS, MAX_NODES
from concept_atelier.host.workflow.graph import Link, WorkflowError
from concept_atelier.host.workflow.reading import load_workflow

WIRE = [("", "*")]


def graph_of(workflow, registry):
    return load_workflow(workflow).graph(registry)


def shown_number(canvas):
    drawing = canvas().node(1, "Number", outputs=[("number", "INT")], values=[4])
    return drawing.node(2, "Show", [("source", "*")])


def problem(workflow, registry):
    with pytest.raises(WorkflowError) as caught:
        check(graph_of(workflow, registry), registry)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "mode"), [("Reroute", 0), ("Add", 4)], ids=["reroutes", "bypassed nodes"])
def test_a_chain_of_thousands_is_walked_once_for_all_that_hang_on_it(canvas, registry, kind, mode):
    drawing, length = shown_number(canvas), 5000
    ids = list(range(10, 10 + length))
    for key in ids:
        drawing.node(key, kind, [("", "INT")], [("", "INT")], mode=mode)
    for one, next_one in itertools.pairwise([1, *ids, 2]):
        drawing.wire(one, 0, next_one, 0)
    for key in range(1_000_000, 1_000_000 + length):
        drawing.node(key, "Show", [("source", "*")]).wire(ids[-1], 0, key, 0)
    start = time.process_time()
    graph = graph_of(drawing.workflow(), registry)
    assert graph["2"].inputs["source"] == Link("1", 0) and graph["1000000"].inputs["source"] == Link("1", 0)
    assert time.process_time() - start < 20  # one walk each would be 25 million steps


def test_a_chain_of_thousands_of_running_nodes_is_checked(canvas, registry):
    drawing = canvas().node(1, "Number", outputs=[("number", "INT")], values=[4])
    ids = list(range(10, 5010))
    for key in ids:
        drawing.node(key, "Add", [("a", "INT"), ("b", "INT", True)], [("sum", "INT")], [0, 0])
    drawing.node(2, "Show", [("source", "*")])
    for one, next_one in itertools.pairwise([1, *ids, 2]):
        drawing.wire(one, 0, next_one, 0)
    start = time.process_time()
    assert len(check(graph_of(drawing.workflow(), registry), registry)) == 5002
    assert time.process_time() - start < 20


def test_fifty_thousand_notes_take_no_time(canvas, registry):
    workflow = shown_number(canvas).wire(1, 0, 2, 0).workflow()
    workflow["nodes"] += [{"id": 1000 + key, "type": "Note", "widgets_values": ["hello"]} for key in range(50_000)]
    start = time.process_time()
    assert set(graph_of(workflow, registry)) == {"1", "2"}
    assert time.process_time() - start < 20


def test_subgraphs_that_multiply_are_refused(canvas, registry):
    levels = [
        canvas(objects=True).node(1, f"level{n + 1}").node(2, f"level{n + 1}").subgraph(f"level{n}") for n in range(40)
    ]
    levels.append(canvas(objects=True).node(1, "Note").subgraph("level40"))
    said = problem(canvas().node(5, "level0").workflow(*levels), registry)
    assert f"more than {MAX_NODES} nodes" in said and len(said) < 300


def test_subgraphs_in_subgraphs_without_end_are_refused(canvas, registry):
    levels = [canvas(objects=True).node(1, f"level{n + 1}").subgraph(f"level{n}") for n in range(3000)]
    said = problem(canvas().node(5, "level0").workflow(*levels), registry)
    assert f"more than {MAX_LEVELS} deep" in said and len(said) < 300


def test_a_muted_subgraph_that_is_fed_by_itself_feeds_nothing(canvas, registry):
    inside = canvas(objects=True, outputs=[{"name": "y", "type": "INT"}]).node(1, "loop", outputs=WIRE, mode=2)
    drawing = canvas().node(5, "loop", outputs=WIRE, mode=2).node(2, "Show", [("source", "*")]).wire(5, 0, 2, 0)
    graph = graph_of(drawing.workflow(inside.wire(1, 0, -20, 0).subgraph("loop")), registry)
    assert graph["2"].inputs == {}


@pytest.mark.parametrize("value", [["a"], {"a": 1}, [[]], 7, "text"], ids=str)
def test_odd_widget_values_are_no_control_of_a_seed(canvas, registry, value):
    drawing = canvas().node(1, "Seeded", [], [("out", "IMAGE")], [3, value]).node(2, "Show", [("source", "*")])
    graph = graph_of(drawing.wire(1, 0, 2, 0).workflow(), registry)
    assert graph["1"].inputs["seed"] == 3 and graph["1"].inputs["strength"] == value


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"links": [[1, 2]]}, "a link of workflow has 2 entries"),
        ({"links": [7]}, "a link of workflow is a number, expected a list"),
        ({"links": {"1": 2}}, "the list of links of workflow is a map, expected a list"),
        ({"links": [[1, 1, float("nan"), 2, 0, "*"]]}, "is nan, expected a whole number"),
        ({"links": [[1, 1, 0.5, 2, 0, "*"]]}, "is 0.5, expected a whole number"),
        ({"nodes": [{"type": "Add"}]}, "the id of a node of workflow names None"),
        ({"nodes": [{"id": [1], "type": "Add"}]}, "the id of a node of workflow names [1]"),
        ({"nodes": [{"id": 1, "type": ["Add"]}]}, "the type of node 1 is a list, expected a text"),
        ({"nodes": [{"id": 1, "type": "Add", "mode": "x"}]}, "the mode of node 1 is 'x', expected a whole number"),
        ({"nodes": [{"id": 1, "type": "Add", "inputs": {"a": 1}}]}, "node 1 is a map, expected a list"),
        ({"nodes": [{"id": 1, "type": "Add", "inputs": ["a"]}]}, "a socket of node 1 is a text, expected a map"),
        ({"nodes": [{"id": 1, "type": "Add", "properties": [1]}]}, "properties of node 1 is a list, expected a map"),
        ({"definitions": [1]}, '"definitions" is a list, expected a map'),
        ({"definitions": {"subgraphs": {"a": 1}}}, "the list of subgraphs is a map, expected a list"),
        ({"definitions": {"subgraphs": [{"id": "a"}]}}, "the list of nodes of subgraph is nothing (null)"),
    ],
)
def test_lists_where_maps_belong_are_named(damage, said, registry):
    text = problem({"nodes": [], **damage}, registry)
    assert "the file is damaged" in text and said in text and "\n" not in text


@pytest.mark.parametrize("slot", [-1, -10])
def test_negative_outputs_are_refused_where_they_are_used(canvas, registry, slot):
    workflow = shown_number(canvas).wire(1, slot, 2, 0).workflow()
    assert f"linked to output {slot} of node 1" in problem(workflow, registry)


def test_odd_titles_and_names_are_shown_short(canvas, registry):
    workflow = shown_number(canvas).workflow()
    workflow["nodes"][1] |= {"type": "X" * 1_000_000, "title": "\x1b[2J\ud800" * 1000}
    with pytest.raises(WorkflowError) as caught:
        check(graph_of(workflow, registry), registry)
    assert len(str(caught.value)) < 800 and str(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("name", [["a"], {"a": 1}, None, 7], ids=str)
def test_a_get_node_without_a_name_is_named_where_it_is_needed(canvas, registry, name):
    drawing = canvas().node(1, "GetNode", outputs=[("INT", "INT")], values=[name]).node(2, "Show", [("source", "*")])
    with pytest.raises(WorkflowError, match="expected a text"):
        check(graph_of(drawing.wire(1, 0, 2, 0).workflow(), registry), registry)
