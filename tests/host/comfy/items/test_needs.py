"""The table of what nodes need of ComfyUI is found by family, and nothing in it is without use."""

from concept_atelier.host.comfy.items import ITEMS, needs
from concept_atelier.nodes import NODES

NAMED = {name: value for name, value in vars(needs).items() if name.isupper() and name != "NODES"}


def test_each_node_stands_once_under_the_folder_of_its_file():
    folders = {node.__name__: node.__module__.split(".")[-2] for node in NODES}
    entries = [(name, family) for family, nodes in needs.NODES.items() for name in nodes]
    assert len(entries) == len(dict(entries))
    assert [(name, family) for name, family in entries if folders.get(name) != family] == []


def test_families_and_their_nodes_are_in_order():
    assert list(needs.NODES) == sorted(needs.NODES)
    assert all(list(nodes) == sorted(nodes) for nodes in needs.NODES.values())


def test_every_need_has_items_and_nodes():
    for name, need in NAMED.items():
        nodes = needs.nodes_that(need)
        assert nodes, name
        assert any(set(nodes) <= set(item.nodes) for item in ITEMS), name


def test_a_need_brings_what_it_rests_on():
    assert set(needs.nodes_that(needs.PASSES)) <= set(needs.nodes_that(needs.PROMPTS))
    assert set(needs.nodes_that(needs.DECODE)) <= set(needs.nodes_that(needs.PROGRESS))
    assert "ComposeConcepts" in needs.nodes_that(needs.GRADIENTS)
    assert "ComposeConcepts" not in needs.nodes_that(needs.WEIGHTS)
