"""What is wrong with a graph is said before anything runs: which node, which input, what was expected and given."""

import pytest

from concept_atelier.commands.run import split_override
from concept_atelier.host.workflow.checking import check, execution_order, ignored_inputs
from concept_atelier.host.workflow.graph import WorkflowError, read_api
from concept_atelier.host.workflow.overrides import apply_overrides


def api(**nodes):
    """``n1=("Class", {inputs})`` to the API format with ids 1, 2, ..."""
    entries = {key.removeprefix("n"): value for key, value in nodes.items()}
    return {
        key: {"class_type": kind, "inputs": inputs, "_meta": {"title": f"My {kind}"}}
        for key, (kind, inputs) in entries.items()
    }


def problems(registry, **nodes):
    with pytest.raises(WorkflowError) as caught:
        check(read_api(api(**nodes)), registry)
    return caught.value.problems


SHOWN = {"n9": ("Show", {"source": ["1", 0]})}


def test_a_sound_graph_passes_and_its_values_are_put_in_type(registry):
    graph = check(read_api(api(n1=("Number", {"value": "7"}), **SHOWN)), registry)
    assert graph["1"].inputs == {"value": 7}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (101, "expected at most 100, got 101"),
        (-1, "expected at least 0, got -1"),
        ("many", "expected a whole number (INT), got 'many'"),
        (1.5, "expected a whole number (INT), got 1.5"),
        (True, "expected a whole number (INT), got True"),
        (float("nan"), "expected a whole number (INT), got nan"),
        (None, "expected a whole number (INT), got None"),
    ],
)
def test_bad_numbers(registry, value, said):
    (problem,) = problems(registry, n1=("Number", {"value": value}), **SHOWN)
    assert problem == f'node 1 "My Number" (Number), input "value": {said}'


GOOD = {"image": ["2", 0], "seed": 1, "strength": 1.0, "mode": "soft", "flag": False}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mode": "loud"}, "input \"mode\": expected one of soft, hard, got 'loud'"),
        ({"flag": "perhaps"}, "input \"flag\": expected true or false (BOOLEAN), got 'perhaps'"),
        ({"strength": float("inf")}, 'input "strength": expected a number (FLOAT), got inf'),
        ({"image": 3}, 'input "image": expected a link that brings IMAGE, got the value 3'),
        ({"image": ["3", 0]}, 'input "image": expected IMAGE, got INT from output 0 of node 3 "My Number" (Number)'),
        ({"note": {"a": 1}}, "input \"note\": expected a text (STRING), got {'a': 1}"),
    ],
)
def test_bad_inputs(registry, given, said):
    nodes = {"n2": ("Grey", {"level": 0}), "n3": ("Number", {"value": 1}), "n1": ("Seeded", GOOD | given)}
    (problem,) = problems(registry, **nodes, **SHOWN)
    assert problem == f'node 1 "My Seeded" (Seeded), {said}'


def test_an_input_that_is_missing(registry):
    (problem,) = problems(registry, n1=("Save", {"filename_prefix": "x"}))
    assert problem == 'node 1 "My Save" (Save), input "images": expected IMAGE, got nothing; connect it'


def test_optional_inputs_may_be_missing(registry):
    nodes = api(n2=("Grey", {"level": 0.5}), n1=("Seeded", GOOD), **SHOWN)
    assert "note" not in check(read_api(nodes), registry)["1"].inputs


def test_a_group_node_is_reported_as_one(registry):
    (problem,) = problems(registry, n1=("workflow>My group", {}), **SHOWN)
    assert "(workflow>My group): a group node, which is not opened here; ungroup it" in problem


def test_unknown_classes_are_named_with_a_guess(registry):
    (problem,) = problems(registry, n1=("Numbr", {}), **SHOWN)
    assert problem.startswith("node 1 \"My Numbr\" (Numbr): unknown node class 'Numbr'; did you mean Number?")


def test_links_to_nothing(registry):
    found = problems(
        registry, n1=("Number", {"value": 1}), n2=("Show", {"source": ["7", 0]}), n3=("Show", {"source": ["1", 4]})
    )
    assert found[0].endswith('input "source": linked to node 7, which does not exist')
    assert found[1].endswith('input "source": linked to output 4 of node 1 "My Number" (Number), which has 1')


def test_circles(registry):
    nodes = {
        "n1": ("Add", {"a": ["2", 0], "b": 1}),
        "n2": ("Add", {"a": ["1", 0], "b": 1}),
    }
    (problem,) = problems(registry, **nodes, **SHOWN)
    assert problem == "the nodes run in a circle: 1 <- 2 <- 1"


def test_a_workflow_without_outputs(registry):
    (problem,) = problems(registry, n1=("Number", {"value": 1}))
    assert "no node shows or saves anything" in problem


def test_all_problems_are_reported_at_once(registry):
    found = problems(registry, n1=("Number", {"value": 500}), n2=("Save", {"filename_prefix": "x"}), **SHOWN)
    assert len(found) == 2


def test_nodes_that_nothing_needs_do_not_stop_a_run(registry):
    graph = read_api(api(n1=("Number", {"value": 1}), n2=("Seeded", {}), **SHOWN))
    assert execution_order(check(graph, registry), registry) == ["1", "9"]


def test_a_node_that_checks_an_input_itself_switches_its_range_off(registry):
    check(read_api(api(n1=("Picky", {"even": 100, "other": 1}))), registry)
    (problem,) = problems(registry, n1=("Picky", {"even": 5, "other": 1}))
    assert problem == 'node 1 "My Picky" (Picky): give an even number (given even = 5)'
    assert "at most 4" in problems(registry, n1=("Picky", {"even": 4, "other": 100}))[0]


def test_linked_inputs_reach_the_nodes_own_check_as_none(registry):
    check(read_api(api(n1=("Number", {"value": 3}), n2=("Picky", {"even": ["1", 0], "other": 1}))), registry)


def test_inputs_that_a_node_does_not_have_are_only_noted(registry):
    graph = read_api(api(n1=("Number", {"value": 1, "colour": "red"}), **SHOWN))
    check(graph, registry)
    assert ignored_inputs(graph, registry) == ['node 1 "My Number" (Number) has no input "colour"; it is ignored']


def test_long_chains_need_no_recursion(registry):
    chain = {"0": ("Number", {"value": 1})} | {str(i): ("Add", {"a": [str(i - 1), 0], "b": 0}) for i in range(1, 3000)}
    graph = read_api(api(**chain, x=("Show", {"source": ["2999", 0]})))
    assert len(execution_order(check(graph, registry), registry)) == 3001


def test_sources_come_first_and_once(registry):
    nodes = api(
        n1=("Number", {"value": 1}),
        n2=("Add", {"a": ["1", 0], "b": ["1", 0]}),
        n3=("Add", {"a": ["2", 0], "b": ["1", 0]}),
        n9=("Show", {"source": ["3", 0]}),
    )
    assert execution_order(read_api(nodes), registry) == ["1", "2", "3", "9"]


NODES = {"n1": ("Number", {"value": 1}), "n2": ("Add", {"a": ["1", 0], "b": 0}), "n3": ("Add", {"a": 0, "b": 0})}


@pytest.mark.parametrize("target", ["1.value", "My Number.value", "Number.value"])
def test_overrides_by_id_title_and_class(registry, target):
    graph = apply_overrides(read_api(api(**NODES)), {target: "55"}, registry)
    assert graph["1"].inputs["value"] == 55


def test_an_override_takes_the_place_of_a_link(registry):
    graph = apply_overrides(read_api(api(**NODES)), {"2.a": 8}, registry)
    assert graph["2"].inputs["a"] == 8


def test_overriding_leaves_the_graph_that_was_given_alone(registry):
    graph = read_api(api(**NODES))
    apply_overrides(graph, {"2.a": 8, "1.value": 3}, registry)
    assert graph == read_api(api(**NODES))


@pytest.mark.parametrize(
    ("target", "value", "said"),
    [
        ("Sum.a", 1, "no node is called 'Sum'"),
        ("Add.a", 1, "2 nodes are called 'Add', use the id: node 2"),
        ("1.valu", 1, "has no input 'valu', it has value; did you mean value?"),
        ("1.value", "many", "expected a whole number (INT), got 'many'"),
    ],
)
def test_overrides_that_do_not_fit(registry, target, value, said):
    with pytest.raises(WorkflowError) as caught:
        apply_overrides(read_api(api(**NODES)), {target: value}, registry)
    assert f"setting {target}: " in str(caught.value)
    assert said in str(caught.value)


def test_override_texts():
    assert split_override("KSampler.text=a = b.c") == ("KSampler.text", "a = b.c")
    assert split_override("My Node.v2.seed=1") == ("My Node.v2.seed", "1")
    for wrong in ("seed=1", "3.seed", ".seed=1", "3.=1", ""):
        with pytest.raises(ValueError, match="expected NODE.INPUT=VALUE"):
            split_override(wrong)
