"""What every node of the pack promises to people and to ComfyUI."""

import inspect

import pytest

from concept_atelier.host.schema import io
from concept_atelier.nodes import NODES
from concept_atelier.nodes.sockets import CATEGORY

VERBS = {"Load", "Localize", "Edit", "Learn", "Save", "Encode", "Capture", "Show", "Erase"}
# The maker's own name for it in the issue: what comes out stands first.
NOUNS = {"Concepts From Masks"}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}

every_node = pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)


@every_node
def test_ids_names_and_places(node):
    schema = node.GET_SCHEMA()
    assert schema.node_id == f"ConceptAtelier{node.__name__}"
    assert schema.display_name.split()[0] in VERBS or schema.display_name in NOUNS
    assert schema.category.split("/")[0] == CATEGORY
    assert len(schema.description) > 40 and schema.description.endswith(".")
    assert schema.search_aliases


@every_node
def test_every_input_says_what_it_is_and_every_widget_has_a_default(node):
    for entry in node.GET_SCHEMA().inputs:
        options = entry.as_dict()
        assert len(options.get("tooltip", "")) > 10, entry.id
        if entry.get_io_type() in WIDGETS:
            assert "default" in options, entry.id
        if "min" in options:
            assert options["min"] <= options["default"] <= options["max"], entry.id
        if "options" in options:
            assert options["default"] in options["options"], entry.id


@every_node
def test_outputs_are_named(node):
    schema = node.GET_SCHEMA()
    assert all(output.display_name for output in schema.outputs)
    assert len({output.display_name for output in schema.outputs}) == len(schema.outputs)


@every_node
def test_execute_takes_the_inputs_of_the_schema(node):
    ids = {entry.id for entry in node.GET_SCHEMA().inputs}
    optional = {entry.id for entry in node.GET_SCHEMA().inputs if entry.optional}
    parameters = inspect.signature(node.execute).parameters
    named = {name for name, p in parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
    takes_all = len(named) < len(parameters)
    assert named <= ids
    assert takes_all or named == ids
    assert {name for name in named if parameters[name].default is not inspect.Parameter.empty} == optional


@every_node
def test_hidden_values_that_are_read_are_asked_for(node):
    read = {hidden for hidden in io.Hidden if f"cls.hidden.{hidden.name}" in inspect.getsource(node)}
    assert read <= set(node.GET_SCHEMA().hidden)


def test_no_two_nodes_share_an_id_or_a_name():
    schemas = [node.GET_SCHEMA() for node in NODES]
    assert len({schema.node_id for schema in schemas}) == len({schema.display_name for schema in schemas}) == len(NODES)


def test_every_node_class_of_the_folder_is_offered():
    import importlib
    import pkgutil

    from concept_atelier import nodes

    found = set()
    for module in pkgutil.iter_modules(nodes.__path__):
        members = vars(importlib.import_module(f"concept_atelier.nodes.{module.name}")).values()
        found |= {m for m in members if inspect.isclass(m) and issubclass(m, io.ComfyNode) and m is not io.ComfyNode}
    assert found == set(NODES)


def test_files_are_saved_by_nodes_that_always_run():
    saving = [node.GET_SCHEMA() for node in NODES if node.__name__.startswith("Save")]
    assert saving and all(schema.is_output_node for schema in saving)
