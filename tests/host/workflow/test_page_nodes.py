"""Nodes that only ComfyUI's page knows: linked past, or left out with a line that says so."""

import pytest

from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.graph import Link, WorkflowError
from concept_atelier.host.workflow.reading import load_workflow

ANY = [("*", "*")]
NUMBER = [("number", "INT")]
SHOWN = [("source", "*")]


def set_and_get(canvas, setter="SetNode", getter="GetNode", name="count"):
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[4]).node(2, setter, ANY, ANY, ["count"])
    drawing.node(3, getter, (), ANY, [name]).node(4, "Show", SHOWN)
    return drawing.wire(1, 0, 2, 0).wire(3, 0, 4, 0)


@pytest.mark.parametrize("kinds", [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_get_brings_what_set_was_given(canvas, registry, kinds):
    graph, said = load_workflow(set_and_get(canvas, *kinds).workflow()).read(registry)
    assert set(graph) == {"1", "4"} and graph["4"].inputs == {"source": Link("1", 0)} and not said


def test_set_hands_its_input_on_as_well(canvas, registry):
    graph = load_workflow(set_and_get(canvas).node(5, "Show", SHOWN).wire(2, 0, 5, 0).workflow()).graph(registry)
    assert graph["5"].inputs == {"source": Link("1", 0)}


def test_get_in_a_subgraph_asks_the_canvases_around_it_after_its_own(canvas, registry):
    inside = canvas(objects=True).node(1, "GetNode", (), ANY, ["count"]).node(2, "Show", SHOWN).wire(1, 0, 2, 0)
    inside.node(3, "GetNode", (), ANY, ["own"]).node(4, "Show", SHOWN).wire(3, 0, 4, 0)
    inside.node(5, "Number", outputs=NUMBER, values=[5]).node(6, "SetNode", ANY, ANY, ["own"]).wire(5, 0, 6, 0)
    drawing = set_and_get(canvas).node(7, "part", values=[]).node(8, "SetNode", ANY, ANY, ["own"]).wire(1, 0, 8, 0)
    graph = load_workflow(drawing.workflow(inside.subgraph("part"))).graph(registry)
    assert graph["7:2"].inputs == {"source": Link("1", 0)} and graph["7:4"].inputs == {"source": Link("7:5", 0)}


def test_get_without_its_set_is_named_where_it_is_needed(canvas, registry):
    drawing = set_and_get(canvas, name="amount")
    with pytest.raises(WorkflowError, match=r"node 3 .* no SetNode sets 'amount'"):
        check(load_workflow(drawing.workflow()).graph(registry), registry)


def test_reroutes_of_a_pack_lead_to_their_source(canvas, registry):
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[4]).node(2, "Reroute (rgthree)", ANY, ANY)
    graph = load_workflow(drawing.node(3, "Show", SHOWN).wire(1, 0, 2, 0).wire(2, 0, 3, 0).workflow()).graph(registry)
    assert set(graph) == {"1", "3"} and graph["3"].inputs == {"source": Link("1", 0)}


def test_labels_and_buttons_are_left_out_with_a_note(canvas, registry):
    drawing = set_and_get(canvas).node(7, "Label (rgthree)", title="Draw").node(8, "Fast Muter (rgthree)", ANY)
    graph, said = load_workflow(drawing.wire(1, 0, 8, 0).workflow()).read(registry)
    assert set(graph) == {"1", "4"}
    assert said == [
        "left out, since they exist only in ComfyUI's page: "
        'node 7 "Draw" (Label (rgthree)), node 8 "Fast Muter (rgthree)" (Fast Muter (rgthree))'
    ]


def test_links_that_anything_everywhere_draws_reach_the_inputs_that_are_free(canvas, registry):
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[4]).node(2, "Number", outputs=NUMBER, values=[5])
    drawing.node(3, "Add", [("a", "INT"), ("b", "INT", True)], [("sum", "INT")], [0, 0]).node(4, "Show", SHOWN)
    drawing.node(9, "Anything Everywhere", [("anything", "INT")]).wire(1, 0, 9, 0).wire(2, 0, 3, 0).wire(3, 0, 4, 0)
    ends = [(3, 1), (3, 0), (3, 7), (99, 0)]
    drawn = [
        {"upstream": "1", "upstream_slot": 0, "downstream": n, "downstream_slot": s, "type": "INT"} for n, s in ends
    ]
    workflow = drawing.workflow() | {
        "extra": {"ue_links": [*drawn, "damaged", {"upstream": None}, {**drawn[0], "upstream_slot": "x"}]}
    }
    graph, said = load_workflow(workflow).read(registry)
    assert graph["3"].inputs == {"a": Link("2", 0), "b": Link("1", 0)}
    assert "Anything Everywhere" in said[0]
    workflow["nodes"][2]["inputs"][1]["link"] = 13  # as saved while the page held the drawn link
    assert load_workflow(workflow).graph(registry) == graph
