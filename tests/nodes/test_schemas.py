"""What every node of the pack promises to people and to ComfyUI."""

import inspect
import re
from pathlib import Path

import pytest

from concept_atelier.host.schema import io
from concept_atelier.nodes import NODES
from concept_atelier.nodes.sockets import CATEGORY, READS
from concept_atelier.tools.locales import OWN_TYPES, read

VERBS = {"Load", "Localize", "Match", "Edit", "Learn", "Save", "Encode", "Capture", "Show", "Erase", "Score", "Correct"}
VERBS |= {"Suggest", "Train", "Compose", "Audit", "Compare", "Record", "Find", "Invert", "Attack", "Guard"}
VERBS |= {"Steer", "Stitch", "Subtract", "Graft", "Slim", "Purify", "Chunk", "Calibrate", "Scout", "Apply", "Probe"}
# Names given in the issues: what comes out stands first.
VERBS |= {"Pick", "Classify", "Complete", "Lint", "Read", "Pair", "Check"}
VERBS |= {"Conceive", "Align", "Decompose", "Propagate"}
NOUNS = {"Concepts From Masks", "Ingredient Masks", "Ingredient Importance", "Erasure Report", "Skill Overlap"}
NOUNS |= {
    "Prototype Feedback",
    "Difference of Skills",
    "Caption Noise",
    "Adaptive Weights",
    "Sentence Concepts",
    "Attention Locality",
}
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
def test_required_inputs_come_first(node):
    """As ComfyUI lists them, so that pages, files and help have one order."""
    optional = [bool(entry.optional) for entry in node.GET_SCHEMA().inputs]
    assert optional == sorted(optional)


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


SCRIPTS = Path(__file__).resolve().parents[2] / "web" / "js"


@every_node
def test_seeds_stay_as_they_are_until_people_choose_otherwise(node):
    """A seed that moves would have every node that learns or localises run again at every press of Run."""
    for entry in node.GET_SCHEMA().inputs:
        if "seed" in entry.id:
            assert entry.as_dict()["control_after_generate"] == "fixed"


@every_node
def test_values_that_stand_for_something_else_read_so_in_the_page(node):
    said = (SCRIPTS / "words.js").read_text(encoding="utf-8")
    for entry in node.GET_SCHEMA().inputs:
        options = entry.as_dict()
        for word, value in options.get(READS, {}).items():
            assert options["min"] <= value <= options["max"]
            assert len(re.findall(rf"^    {word}: ", said, re.MULTILINE)) == said.count("\n  },\n")
        stands_for = re.search(r"(-?[\d.]+) keeps the preset's value\.$", options["tooltip"])
        assert options.get(READS, {}).get("preset") == (stands_for and float(stands_for[1]))
        assert not stands_for or options["default"] == float(stands_for[1])


def test_our_scripts_find_the_language_of_the_page_by_the_name_of_a_node():
    said = (SCRIPTS / "words.js").read_text(encoding="utf-8")
    shown = dict(re.findall(r'^  (\w\w): \{\n    node: "(.+)",$', said, re.MULTILINE))
    assert len(set(shown.values())) == said.count("\n  },\n")
    assert shown == {name: read(name)["ConceptAtelierEditConcepts"]["display_name"] for name in shown}


def test_our_socket_types_have_colours():
    written = (SCRIPTS / "colours.js").read_text(encoding="utf-8")
    colours = dict(re.findall(r'^  ([A-Z_]+): "(#[0-9a-f]{6})",$', written, re.MULTILINE))
    assert set(colours) == set(OWN_TYPES) and len(set(colours.values())) == len(colours)


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
    for module in pkgutil.walk_packages(nodes.__path__, f"{nodes.__name__}."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {m for m in members if inspect.isclass(m) and issubclass(m, io.ComfyNode) and m is not io.ComfyNode}
    shared = {m for m in found if "execute" not in vars(m)}  # what several nodes extend
    assert found - shared == set(NODES)


def test_files_are_saved_by_nodes_that_always_run():
    saving = [node.GET_SCHEMA() for node in NODES if node.__name__.startswith("Save")]
    assert saving and all(schema.is_output_node for schema in saving)


@every_node
def test_words_people_search_for_are_words(node):
    aliases = node.GET_SCHEMA().search_aliases
    assert len({alias.lower() for alias in aliases}) == len(aliases) >= 2
    assert all(alias == alias.strip() and len(alias) > 2 for alias in aliases)
    assert node.GET_SCHEMA().display_name.lower() not in {alias.lower() for alias in aliases}


@every_node
def test_sentences_end_and_categories_are_known(node):
    schema = node.GET_SCHEMA()
    places = {
        "attribute",
        "compose",
        "erase",
        "evaluate",
        "explain",
        "data",
        "learn",
        "localize",
        "prompts",
        "recognise",
        "surgery",
    }
    assert schema.category == CATEGORY or schema.category.removeprefix(f"{CATEGORY}/") in places
    for entry in schema.inputs:
        said = entry.as_dict()["tooltip"]
        assert (
            said[0].isupper()
            or said.split(":")[0] in entry.as_dict().get("options", ())
            or said[0].isdigit()
            or (said.split()[0] in entry.as_dict().get("options", ()))
        ), said
