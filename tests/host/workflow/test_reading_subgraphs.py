"""Subgraphs of drawn workflows are opened: values, links, bypassed and muted ones, one within another."""

from concept_atelier.host.workflow.graph import Link
from concept_atelier.host.workflow.reading import load_workflow

NUMBER = [("number", "INT")]
IMAGE = [("image", "IMAGE")]


def graph_of(workflow, registry):
    return load_workflow(workflow).graph(registry)


def plus_one(canvas, key="plus"):
    """A subgraph: its input plus a promoted number."""
    inside = canvas(
        objects=True,
        inputs=[{"name": "base", "type": "INT"}, {"name": "more", "type": "INT"}],
        outputs=[{"name": "result", "type": "INT"}],
    )
    inside.node(1, "Add", [("a", "INT"), ("b", "INT", True)], [("sum", "INT")], [0, 10])
    return inside.wire(-10, 0, 1, 0).wire(-10, 1, 1, 1).wire(1, 0, -20, 0).subgraph(key)


def using(canvas, values=None, **fields):
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[4])
    slots = [("base", "INT"), ("more", "INT", True)]
    drawing.node(5, "plus", slots, [("result", "INT")], values, **fields).node(3, "Show", [("source", "*")])
    return drawing.wire(1, 0, 5, 0).wire(5, 0, 3, 0)


def test_a_subgraph_is_opened(canvas, registry):
    graph = graph_of(using(canvas).workflow(plus_one(canvas)), registry)
    assert graph["3"].inputs["source"] == Link("5:1", 0)
    assert graph["5:1"].inputs == {"a": Link("1", 0), "b": 10}
    assert "5" not in graph


def test_the_value_on_the_subgraph_node_wins(canvas, registry):
    graph = graph_of(using(canvas, [25]).workflow(plus_one(canvas)), registry)
    assert graph["5:1"].inputs["b"] == 25


def test_values_of_proxy_widgets_are_found_by_their_entry(canvas, registry):
    proxies = {"proxyWidgets": [["1", "a"], ["-1", "more"]]}
    graph = graph_of(using(canvas, [None, 25], properties=proxies).workflow(plus_one(canvas)), registry)
    assert graph["5:1"].inputs["b"] == 25


def test_an_extra_value_behind_a_promoted_seed_is_skipped(canvas, registry):
    inside = canvas(objects=True, inputs=[{"name": "seed", "type": "INT"}, {"name": "mode", "type": "COMBO"}])
    inside.node(1, "Seeded", [("seed", "INT", True), ("mode", "COMBO", True)], [("out", "IMAGE")], [1])
    inside.wire(-10, 0, 1, 0).wire(-10, 1, 1, 1)
    holder = canvas().node(5, "s", [("seed", "INT", True), ("mode", "COMBO", True)], values=[99, "randomize", "hard"])
    graph = graph_of(holder.workflow(inside.subgraph("s")), registry)
    assert (graph["5:1"].inputs["seed"], graph["5:1"].inputs["mode"]) == (99, "hard")


def test_two_uses_of_a_subgraph_are_two_sets_of_nodes(canvas, registry):
    drawing = using(canvas, [1])
    drawing.node(6, "plus", [("base", "INT"), ("more", "INT", True)], [("result", "INT")], [2]).wire(5, 0, 6, 0)
    graph = graph_of(drawing.workflow(plus_one(canvas)), registry)
    assert graph["6:1"].inputs == {"a": Link("5:1", 0), "b": 2}
    assert graph["5:1"].inputs["b"] == 1


def test_subgraphs_within_subgraphs(canvas, registry):
    outer = canvas(objects=True, inputs=[{"name": "x", "type": "INT"}], outputs=[{"name": "y", "type": "INT"}])
    outer.node(8, "plus", [("base", "INT"), ("more", "INT", True)], [("result", "INT")], [3])
    outer.wire(-10, 0, 8, 0).wire(8, 0, -20, 0)
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[4]).node(2, "outer", [("x", "INT")], [("y", "INT")])
    drawing.node(3, "Show", [("source", "*")]).wire(1, 0, 2, 0).wire(2, 0, 3, 0)
    graph = graph_of(drawing.workflow(plus_one(canvas), outer.subgraph("outer")), registry)
    assert graph["2:8:1"].inputs == {"a": Link("1", 0), "b": 3}
    assert graph["3"].inputs["source"] == Link("2:8:1", 0)


def test_a_bypassed_subgraph_passes_through_and_does_not_run(canvas, registry):
    graph = graph_of(using(canvas).mode(5, 4).workflow(plus_one(canvas)), registry)
    assert set(graph) == {"1", "3"}
    assert graph["3"].inputs["source"] == Link("1", 0)


def test_a_muted_subgraph_does_not_run(canvas, registry):
    graph = graph_of(using(canvas).mode(5, 2).workflow(plus_one(canvas)), registry)
    assert graph["3"].inputs == {}
    assert set(graph) == {"1", "3"}


def test_a_subgraph_that_hands_its_input_straight_on(canvas, registry):
    wire = canvas(objects=True, inputs=[{"name": "x", "type": "INT"}], outputs=[{"name": "y", "type": "INT"}])
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[4]).node(2, "w", [("x", "INT")], [("y", "INT")])
    drawing.node(3, "Show", [("source", "*")]).wire(1, 0, 2, 0).wire(2, 0, 3, 0)
    graph = graph_of(drawing.workflow(wire.wire(-10, 0, -20, 0).subgraph("w")), registry)
    assert graph["3"].inputs["source"] == Link("1", 0)
