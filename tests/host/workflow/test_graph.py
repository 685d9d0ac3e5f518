"""Executable workflows of any shape are read, or refused by naming the entry."""

import pytest

from concept_atelier.host.workflow.checking import check
from concept_atelier.host.workflow.graph import Link, WorkflowError, find_node, read_api


def said_of(entry):
    with pytest.raises(WorkflowError) as caught:
        read_api({"7": entry})
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (["Add"], 'node 7: expected {"class_type"'),
        ({"class_type": ["Add"]}, "node 7: class_type is ['Add'], expected the name of a node class"),
        ({"class_type": "Add", "inputs": [1]}, 'node 7: "inputs" must map names to values or links, got [1]'),
        ({"class_type": "Add", "_meta": ["x"]}, 'node 7: "_meta" is a list, expected a map'),
        ({"class_type": 10**5000}, "a whole number of about 5000 digits"),
    ],
)
def test_entries_that_are_no_nodes_are_shown_short(entry, said):
    assert said in said_of(entry) and len(said_of(entry)) < 200


def test_only_an_id_and_a_whole_number_are_a_link():
    inputs = {
        "a": ["1", 0],
        "b": [1, 0],
        "c": ["1", True],
        "d": [["1"], 0],
        "e": ["1", 0.0],
        "f": ["1", 0, 0],
        "g": [False, 0],
    }
    read = read_api({"7": {"class_type": "Add", "inputs": inputs}})["7"].inputs
    assert read == {**inputs, "a": Link("1", 0), "b": Link("1", 0)}


def test_a_list_of_problems_stops_after_twenty_and_says_how_many_more(registry):
    graph = read_api({str(n): {"class_type": f"Missing{n}" * 5000} for n in range(5000)})
    with pytest.raises(WorkflowError) as caught:
        check(graph, registry)
    lines = str(caught.value).splitlines()
    assert lines[0] == "the workflow has 5000 problems:" and lines[-1] == "- and 4980 more" and len(lines) == 22
    assert len(caught.value.problems) == 5000 and max(map(len, lines)) < 500


def test_a_circle_of_thousands_is_found_and_shown_short(registry):
    entries = {str(n): {"class_type": "Add", "inputs": {"a": [str((n + 1) % 5000), 0]}} for n in range(5000)}
    show = {"class_type": "Show", "inputs": {"source": ["0", 0]}}
    with pytest.raises(WorkflowError, match="the nodes run in a circle: 0 <- 1 <- ") as caught:
        check(read_api({**entries, "show": show}), registry)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("half", ["\ud800", "abc\udfff"])
def test_half_a_character_in_a_text_is_refused_before_anything_runs(registry, half):
    nodes = {"1": {"class_type": "Seeded", "inputs": {"note": half}}, "2": {"class_type": "Show", "inputs": {}}}
    nodes["2"]["inputs"]["source"] = ["1", 0]
    with pytest.raises(WorkflowError, match="half of a character"):
        check(read_api(nodes), registry)


NAMED = read_api(
    {
        "1": {"class_type": "LoadImage"},
        "2": {"class_type": "ConceptAtelierLearnConceptTokens", "_meta": {"title": "Learn them"}},
        **{str(n): {"class_type": f"Other{n}"} for n in range(3, 20)},
    }
)


@pytest.mark.parametrize("name", ["2", "Learn them", "ConceptAtelierLearnConceptTokens", "LearnConceptTokens"])
def test_a_node_is_found_by_id_title_and_class_with_or_without_the_prefix(name):
    assert find_node(NAMED, name).id == "2"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LernConceptTokens", "; did you mean node 2 "),
        ("learn THEM", "; did you mean node 2 "),
        ("loadimage", "; did you mean node 1 "),
        ("zzz", '; there are node 1 "LoadImage" (LoadImage), node 2 '),
    ],
)
def test_a_name_that_no_node_has_is_answered_by_the_nearest_one_or_the_first_few(name, said):
    with pytest.raises(LookupError, match=f"no node is called '{name}'") as caught:
        find_node(NAMED, name)
    text = caught.value.args[0]
    assert said in text and text.count("node ") <= 6 and ("14 more" in text) == (name == "zzz")
