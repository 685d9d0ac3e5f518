"""From what people share to what is executed: one small graph per feature of the front end."""

import json

import pytest

from concept_atelier.host.workflow.checking import check, left_out
from concept_atelier.host.workflow.graph import Link, WorkflowError, read_api, to_api
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.widgets import widget_values

NUMBER = [("number", "INT")]

AB = [("a", "INT", True), ("b", "INT", True)]

IMAGE = [("image", "IMAGE")]


def graph_of(workflow, registry):
    return load_workflow(workflow).graph(registry)


def sum_of(canvas, values=(0, 0)):
    """A sum of two numbers, shown."""
    drawing = canvas()
    drawing.node(1, "Number", outputs=NUMBER, values=[4])
    drawing.node(2, "Add", AB, [("sum", "INT")], list(values))
    drawing.node(3, "Show", [("source", "*")])
    return drawing.wire(1, 0, 2, 0).wire(2, 0, 3, 0)


def test_links_override_widgets_and_the_others_keep_their_value(canvas, registry):
    graph = graph_of(sum_of(canvas, (7, 9)).workflow(), registry)
    assert graph["2"].inputs == {"a": Link("1", 0), "b": 9}
    assert graph["3"].inputs == {"source": Link("2", 0)}


def test_api_format_of_a_converted_graph_is_what_the_front_end_sends(canvas, registry):
    assert to_api(graph_of(sum_of(canvas).workflow(), registry)) == {
        "1": {"inputs": {"value": 4}, "class_type": "Number", "_meta": {"title": "Number"}},
        "2": {"inputs": {"a": ["1", 0], "b": 0}, "class_type": "Add", "_meta": {"title": "Add Numbers"}},
        "3": {"inputs": {"source": ["2", 0]}, "class_type": "Show", "_meta": {"title": "Show"}},
    }


def test_api_format_goes_round(canvas, registry):
    graph = graph_of(sum_of(canvas).workflow(), registry)
    assert read_api(json.loads(json.dumps(to_api(graph)))) == graph


def test_a_list_as_a_value_is_wrapped_so_that_it_is_no_link():
    graph = read_api({"1": {"class_type": "Number", "inputs": {"value": {"__value__": ["a", 1]}}}})
    assert graph["1"].inputs["value"] == ["a", 1]
    assert to_api(graph)["1"]["inputs"]["value"] == {"__value__": ["a", 1]}


@pytest.mark.parametrize(
    "stored",
    [
        [77, "randomize", 0.25, "hard", True, "said"],
        [77, 0.25, "hard", True, "said"],
        [77, True, 0.25, "hard", True, "said", "left", {"over": 1}],
        {"0": 77, "1": "fixed", "2": 0.25, "3": "hard", "4": True, "5": "said"},
        {"seed": 77, "strength": 0.25, "mode": "hard", "flag": True, "note": "said"},
    ],
    ids=["control", "no control", "tick and left over", "by number", "by name"],
)
def test_widget_values_by_position_with_the_control_behind_seeds(registry, stored):
    values = widget_values(registry.schema("Seeded"), stored)
    assert values == {"seed": 77, "strength": 0.25, "mode": "hard", "flag": True, "note": "said"}


def test_widgets_without_stored_values_have_defaults(registry):
    values = widget_values(registry.schema("Seeded"), [5, "fixed", None])
    assert values == {"seed": 5, "strength": 1.0, "mode": "soft", "flag": False, "note": "plain"}


SAVED_BEFORE = {
    "inputs since then": (["seed", "mode", "note"], [77, "fixed", "hard", "said"]),
    "an input that is gone": (["gone", "seed", "mode", "note"], ["x", 77, "fixed", "hard", "said"]),
    "another order": (["note", "mode", "seed"], ["said", "hard", 77, "fixed"]),
}


@pytest.mark.parametrize(("drawn", "stored"), SAVED_BEFORE.values(), ids=SAVED_BEFORE)
def test_values_of_older_nodes_are_read_by_the_names_that_the_file_lists(registry, drawn, stored):
    values = widget_values(registry.schema("Seeded"), stored, drawn)
    assert values == {"seed": 77, "strength": 1.0, "mode": "hard", "flag": False, "note": "said"}


@pytest.mark.parametrize("drawn", [[], ["mode"], ["seed", "strength", "mode"], ["seed", "seed"]])
def test_names_of_todays_order_or_of_a_few_widgets_leave_the_positions(registry, drawn):
    values = widget_values(registry.schema("Seeded"), [77, "fixed", 0.25, "hard", True, "said"], drawn)
    assert values == {"seed": 77, "strength": 0.25, "mode": "hard", "flag": True, "note": "said"}


def test_the_upload_button_takes_a_place_of_its_own(here):
    from concept_atelier.host.schema.standin import io

    inputs = [
        io.Combo.Input("image", ["a.png"], upload=io.UploadType.image),
        io.Int.Input("later", optional=True),
        io.String.Input("forced", force_input=True),
    ]
    assert widget_values(io.Schema("X", inputs=inputs), ["a.png", "image", 5]) == {"image": "a.png", "later": 5}


def test_a_primitive_gives_its_value(canvas, registry):
    drawing = sum_of(canvas).node(9, "PrimitiveNode", outputs=NUMBER, values=[42, "fixed"]).wire(9, 0, 2, 1)
    graph = graph_of(drawing.workflow(), registry)
    assert graph["2"].inputs["b"] == 42
    assert "9" not in graph


def test_reroutes_in_a_row_lead_to_their_source(canvas, registry):
    drawing = sum_of(canvas).node(7, "Reroute", [("", "*")], [("", "*")]).node(8, "Reroute", [("", "*")], [("", "*")])
    drawing.wire(1, 0, 7, 0).wire(7, 0, 8, 0).wire(8, 0, 2, 1)
    graph = graph_of(drawing.workflow(), registry)
    assert graph["2"].inputs["b"] == Link("1", 0)
    assert set(graph) == {"1", "2", "3"}


def test_notes_are_left_out(canvas, registry):
    drawing = sum_of(canvas).node(5, "Note", values=["hello"]).node(6, "MarkdownNote", values=["# hello"])
    assert set(graph_of(drawing.workflow(), registry)) == {"1", "2", "3"}


def test_a_muted_node_leaves_its_targets_unfed(canvas, registry):
    graph = graph_of(sum_of(canvas, (7, 9)).mode(1, 2).workflow(), registry)
    assert set(graph) == {"2", "3"}
    assert graph["2"].inputs == {"b": 9}


def test_a_bypassed_node_passes_the_input_of_the_same_type(canvas, registry):
    drawing = canvas().node(1, "Grey", outputs=IMAGE)
    inputs = [("note", "STRING", True), ("image", "IMAGE")]
    drawing.node(2, "Seeded", inputs, [("out", "IMAGE")]).node(3, "Save", [("images", "IMAGE")], values=["x"])
    drawing.wire(1, 0, 2, 1).wire(2, 0, 3, 0)
    assert graph_of(drawing.workflow(), registry)["3"].inputs["images"] == Link("2", 0)
    graph = graph_of(drawing.mode(2, 4).workflow(), registry)
    assert graph["3"].inputs == {"images": Link("1", 0), "filename_prefix": "x"}
    assert "2" not in graph


def test_a_bypassed_node_prefers_the_input_at_the_same_position(canvas, registry):
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[1]).node(2, "Number", outputs=NUMBER, values=[2])
    drawing.node(3, "Pair", [("x", "INT"), ("y", "INT")], [("p", "INT"), ("q", "INT")], mode=4)
    drawing.node(4, "Add", AB, [("sum", "INT")])
    drawing.wire(1, 0, 3, 0).wire(2, 0, 3, 1).wire(3, 0, 4, 0).wire(3, 1, 4, 1)
    assert graph_of(drawing.workflow(), registry)["4"].inputs == {"a": Link("1", 0), "b": Link("2", 0)}


def test_a_bypassed_node_without_a_fitting_input_feeds_nothing(canvas, registry):
    drawing = canvas().node(1, "Number", outputs=NUMBER, values=[1])
    drawing.node(2, "Odd", [("x", "INT")], IMAGE, mode=4).node(3, "Save", [("images", "IMAGE")], values=["x"])
    drawing.wire(1, 0, 2, 0).wire(2, 0, 3, 0)
    assert graph_of(drawing.workflow(), registry)["3"].inputs == {"filename_prefix": "x"}


def problems_of(workflow, registry):
    with pytest.raises(WorkflowError) as caught:
        check(graph_of(workflow, registry), registry)
    return "\n".join(caught.value.problems)


def test_a_subgraph_that_contains_itself_is_refused(canvas, registry):
    inside = canvas(objects=True).node(1, "loop").subgraph("loop")
    assert "contains itself" in problems_of(canvas().node(5, "loop").workflow(inside), registry)


def test_a_circle_of_reroutes_is_refused(canvas, registry):
    drawing = sum_of(canvas).node(7, "Reroute", [("", "*")], [("", "*")]).node(8, "Reroute", [("", "*")], [("", "*")])
    drawing.wire(7, 0, 8, 0).wire(8, 0, 7, 0).wire(8, 0, 2, 1)
    assert "runs in a circle" in problems_of(drawing.workflow(), registry)


def test_missing_links_and_nodes_are_named(canvas, registry):
    workflow = sum_of(canvas).workflow()
    without_node = workflow | {"nodes": workflow["nodes"][1:]}
    without_link = workflow | {"links": workflow["links"][:1]}
    assert 'node 2 "Add" (Add), input "a": linked to node 1, which does not exist' in problems_of(
        without_node, registry
    )
    assert 'node 3 "Show" (Show), input "source": link 101 is missing from the file' in problems_of(
        without_link, registry
    )


def test_links_to_nothing_do_not_matter_where_no_output_needs_them(canvas, registry):
    drawing = sum_of(canvas).node(8, "Gone", [("x", "INT")], [("y", "INT")]).node(9, "Add", AB, [("sum", "INT")])
    workflow = drawing.wire(8, 0, 9, 0).wire(9, 0, 8, 0).workflow()
    workflow["nodes"][-1]["inputs"][1]["link"] = 77
    graph = graph_of(workflow, registry)
    checked = check(graph, registry)
    assert set(checked) == {"1", "2", "3", "8", "9"} and "b" not in to_api(checked)["9"]["inputs"]
    assert left_out(graph, registry) == [
        'node 8 "Gone" (Gone) is left out: nothing that runs needs it, and its class is not known here'
    ]


@pytest.mark.parametrize("damage", [{"nodes": [{"type": "Add"}]}, {"nodes": [7]}, {"nodes": [], "links": [[1, 2]]}])
def test_damaged_files_are_reported_as_damaged(damage, registry):
    assert "damaged" in problems_of(damage, registry)


def api_of(canvas, registry):
    return json.loads(json.dumps(to_api(graph_of(sum_of(canvas).workflow(), registry))))


def test_an_api_entry_without_class_is_named_by_its_title(canvas, registry):
    workflow = api_of(canvas, registry) | {"99": {"inputs": {"UNKNOWN": 1}, "_meta": {"title": "Node Name for S&R"}}}
    assert 'node 99 "Node Name for S&R" has no class_type' in problems_of(workflow, registry)
    assert "node 98 has no class_type" in problems_of(api_of(canvas, registry) | {"98": {}}, registry)


def test_notes_beside_api_nodes_are_left_out_and_named(canvas, registry):
    notes = {"_meta": {"title": "mine"}, "version": 1, "_comment": "hello"}
    graph, said = load_workflow(notes | api_of(canvas, registry)).read(registry)
    assert graph == graph_of(api_of(canvas, registry), registry)
    assert said == ["left out, since they are no nodes: _meta, version, _comment"]


def test_a_workflow_as_posted_is_unwrapped_with_what_pictures_carry(canvas, registry):
    api, drawn = api_of(canvas, registry), sum_of(canvas).workflow()
    posted = load_workflow({"prompt": api, "client_id": "x", "extra_data": {"extra_pnginfo": {"workflow": drawn}}})
    both = load_workflow({"output": api, "workflow": drawn})
    for workflow in (posted, both):
        assert workflow.data == api and workflow.picture_metadata() == {"workflow": drawn}
    assert load_workflow({"prompt": api, "client_id": "x"}).picture_metadata() == {}
    assert load_workflow({"workflow": drawn}).data == drawn


@pytest.mark.parametrize("other", [{}, {"1": {"inputs": {}}}, {"x": 3}, {"prompt": {"x": 3}}, {"prompt": "cat"}])
def test_other_json_is_refused(other, registry):
    assert "neither a UI workflow" in problems_of(other, registry)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_files_that_are_no_workflow(tmp_path, text):
    path = tmp_path / "w.json"
    path.write_text(text)
    with pytest.raises(WorkflowError, match="JSON"):
        load_workflow(path)


def test_node_ids_used_twice_are_refused(canvas, registry):
    drawing = canvas().node(1, "Number").node(1, "Number")
    assert "node id 1 is used twice" in problems_of(drawing.workflow(), registry)


def test_a_file_is_found_whatever_stands_between_the_words_of_its_name(tmp_path, canvas):
    (tmp_path / "Two numbers (checkpoint).json").write_text(json.dumps(sum_of(canvas).workflow()))
    found = load_workflow(tmp_path / "two_numbers_checkpoint.json")
    assert found.path == tmp_path / "Two numbers (checkpoint).json" and found.data["nodes"]
    (tmp_path / "two-numbers checkpoint.json").write_text("{}")
    for name in ("two_numbers_checkpoint.json", "two_numbers.json", "two_numbers_checkpoint.png"):
        with pytest.raises(FileNotFoundError):
            load_workflow(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_workflow(tmp_path / "nowhere" / "two_numbers.json")


@pytest.mark.parametrize(
    ("text", "said"), [("null", "nothing .null."), ("[]", "a list"), ("7", "a number"), ('"x"', "a text")]
)
def test_json_that_is_no_map_is_called_by_its_kind(tmp_path, text, said):
    (tmp_path / "w.json").write_text(text)
    with pytest.raises(WorkflowError, match=f"w.json is {said}, expected a JSON object of nodes"):
        load_workflow(tmp_path / "w.json")
    with pytest.raises(WorkflowError, match="is a folder, expected a workflow file"):
        load_workflow(tmp_path)
