"""Prompts and filename prefixes of workflow files, as ComfyUI's page sends them."""

from datetime import datetime

import pytest

from concept_atelier.host.schema import io
from concept_atelier.host.workflow.flatten import flatten
from concept_atelier.host.workflow.graph import GraphNode, Link, WorkflowError, read_api
from concept_atelier.host.workflow.page_texts import resolve_texts
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.host.workflow.ui_format import read_ui

NOW = datetime(2026, 3, 9, 7, 5, 4)


class Prompt(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [
            io.String.Input("text", multiline=True, dynamic_prompts=True),
            io.String.Input("plain", default="{x|x}"),
            io.Float.Input("strength", default=4.0),
        ]
        return io.Schema(node_id="Prompt", category="test", inputs=inputs, outputs=[io.String.Output("text")])


class SaveImage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [io.String.Input("images", force_input=True, optional=True), io.String.Input("filename_prefix")]
        return io.Schema(node_id="SaveImage", category="test", inputs=inputs, is_output_node=True)


@pytest.fixture
def known():
    return Registry([Prompt, SaveImage])


def sent(graph, known, seed=0, drawn=True):
    return resolve_texts(graph, known, seed, drawn=drawn, now=NOW)


def prompt(text, key="1", **inputs):
    return {key: GraphNode(key, "Prompt", "My Prompt", {"text": text, "plain": "{x|x}", "strength": 4.0, **inputs})}


def saving(prefix, graph):
    return {**graph, "9": GraphNode("9", "SaveImage", "Save", {"filename_prefix": prefix})}


def test_only_texts_that_take_alternatives_are_resolved(known):
    result = sent(prompt("a {cat|cat} // note"), known)
    assert result.graph["1"].inputs == {"text": "a cat ", "plain": "{x|x}", "strength": 4.0}
    (note,) = result.notes
    assert note.startswith("node 1 \"My Prompt\" (Prompt), input \"text\": of '{cat|cat}' 'cat' was taken")
    assert note.endswith("a comment was left out; it reads 'a cat '")


def test_plain_texts_and_links_pass(known):
    graph = prompt("a cat") | prompt(Link("1", 0), "2")
    result = sent(graph, known)
    assert result.graph == graph and result.notes == []


def test_the_seed_says_which(known):
    text = "{a|b|c|d|e|f|g|h}"
    read = [sent(prompt(text) | prompt(text, "2"), known, seed).graph for seed in (0, 0, 1, 2, 3)]
    assert read[0] == read[1]
    assert len({graph["1"].inputs["text"] for graph in read}) > 1
    assert len({node.inputs["text"] for graph in read for node in graph.values()}) > 2  # nodes differ


def test_braces_that_are_nested_too_deep_are_refused_with_the_node(known):
    with pytest.raises(WorkflowError, match='node 1 "My Prompt".*input "text": the prompt nests braces deeper'):
        sent(prompt("{" * 1000), known)


def test_files_in_the_api_format_have_been_resolved(known):
    graph = read_api(
        {"1": {"class_type": "Prompt", "inputs": {"text": "a {cat|dog} // x", "plain": "", "strength": 1}}}
    )
    result = sent(graph, known, drawn=False)
    assert result.graph["1"].inputs["text"] == "a {cat|dog} // x"
    (note,) = result.notes
    assert "the braces are read as letters, as in ComfyUI, because the text comes from a file in the API format" in note


def test_prefixes_know_dates_and_the_widgets_of_nodes(known):
    result = sent(saving("%date:yyyy-MM-dd%/%Prompt.strength%_%My Prompt.text%_%width%", prompt("a/b")), known)
    assert result.graph["9"].inputs["filename_prefix"] == "2026-03-09/4_a_b_%width%"
    api = sent(saving("%Prompt.strength%", prompt("x")), known, drawn=False)
    assert api.graph["9"].inputs["filename_prefix"] == "4"


def test_an_alias_comes_before_a_title(known):
    node = GraphNode("1", "Prompt", "Two", {"text": "one"}, alias="One")
    other = GraphNode("2", "Prompt", "One", {"text": "two"})
    result = sent(saving("%One.text%_%Two.text%", {"1": node, "2": other}), known)
    assert result.graph["9"].inputs["filename_prefix"] == "one_one"
    several = sent(saving("%Prompt.text%", prompt("a") | prompt("b", "2")), known)
    assert several.graph["9"].inputs["filename_prefix"] == "a"
    assert "2 nodes are called Prompt" in several.notes[0]


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ("%Nobody.text%", "%Nobody...% names no node that runs; there are Prompt, My Prompt, SaveImage, Save"),
        ("%Prompt.nothing%", "has no nothing; it has text, plain, strength"),
        ("%Prompt.strength%", "strength of node 1 .* comes over a link"),
    ],
)
def test_what_a_prefix_cannot_know_is_refused_by_name(known, prefix, message):
    inputs = {"strength": Link("3", 0)} if "link" in message else {}
    with pytest.raises(WorkflowError, match=message):
        sent(saving(prefix, prompt("a", **inputs)), known)


def test_drawn_nodes_bring_their_alias_and_what_the_page_leaves_alone(known, canvas):
    """A primitive's text is resolved, as the page puts it into the widget; a text that a subgraph shows is not."""
    inner = canvas(objects=True, inputs=[{"name": "text", "type": "STRING"}])
    inner.node(1, "Prompt", [("text", "STRING", True)], [("text", "STRING")], ["inside {a|a}", "", 1.0])
    inner.node(2, "SaveImage", [("images", "STRING")], [], ["x"])
    inner.wire(-10, 0, 1, 0).wire(1, 0, 2, 0)
    top = canvas()
    top.node(7, "part", [("text", "STRING", True)], [], ["shown {a|a}"])
    top.node(3, "PrimitiveNode", [], [("STRING", "STRING")], ["fed {a|a}", "fixed"])
    top.node(4, "Prompt", [("text", "STRING", True)], [("text", "STRING")], ["own {a|a}", "", 1.0])
    top.node(5, "Prompt", [], [("text", "STRING")], ["own {a|a}", "", 1.0], properties={"Node name for S&R": "Mine"})
    top.node(6, "SaveImage", [("images", "STRING")], [], ["%Mine.text%"])
    top.wire(3, 0, 4, 0).wire(4, 0, 6, 0)
    graph, _ = flatten(read_ui(top.workflow(inner.subgraph("part"))), known)
    result = sent(graph, known)
    texts = {key: node.inputs.get("text") for key, node in result.graph.items() if node.class_type == "Prompt"}
    assert texts == {"7:1": "shown {a|a}", "4": "fed a", "5": "own a"}
    assert any("because the text comes from a widget that a subgraph shows" in note for note in result.notes)
    # The page puts the widget's own text into the name, before alternatives are drawn.
    assert result.graph["6"].inputs["filename_prefix"] == "own {a_a}"


def test_a_value_given_on_the_command_line_is_as_if_typed(known):
    node = GraphNode("1", "Prompt", "P", {"text": "x"}, as_is=frozenset({"text"}))
    assert sent({"1": node.with_input("text", "a {b|b}")}, known).graph["1"].inputs["text"] == "a b"
