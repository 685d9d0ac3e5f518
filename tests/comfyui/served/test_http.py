"""What the server says of the pack, and every lab workflow run over HTTP."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.graph import Link
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.nodes import NODES
from concept_atelier.nodes.headless import HEADLESS_NODES
from concept_atelier.tools.locales import languages, node_words, read, unescape

PACK = "concept-atelier"
ROOT = Path(__file__).resolve().parents[3]

WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
ON_LAB = [name for name in NAMES if "(" not in name or "lab transformer" in name]


def prompt_of(name):
    """A workflow file in the API format, as our runner reads it."""
    with folders.use(folders.headless(ROOT, (WORKFLOWS / "input",))):
        graph = load_workflow(WORKFLOWS / f"{name}.json").graph(Registry(HEADLESS_NODES))
    return {
        key: {
            "class_type": node.class_type,
            "inputs": {k: [v.node, v.slot] if isinstance(v, Link) else v for k, v in node.inputs.items()},
        }
        for key, node in graph.items()
    }


def test_every_node_is_there(server):
    known = server.json("/object_info")
    for node in NODES:
        schema = node.GET_SCHEMA()
        said = known[schema.node_id]
        assert said["display_name"] == schema.display_name and said["category"] == schema.category
        assert said["python_module"] == f"custom_nodes.{PACK}"
        inputs = {**said["input"].get("required", {}), **said["input"].get("optional", {})}
        assert list(inputs) == [entry.id for entry in schema.inputs]


def test_words_are_served_in_every_language(server):
    served = server.json("/i18n")
    for language in ["en", *languages()]:
        assert read(language).items() <= served[language]["nodeDefs"].items()


@pytest.mark.parametrize("name", NAMES)
def test_templates_and_their_pictures_are_listed_and_served(server, name):
    assert name in server.json("/workflow_templates")[PACK]
    assert json.loads(server.get(quote(f"/api/workflow_templates/{PACK}/{name}.json")))["nodes"]
    if (WORKFLOWS / f"{name}.jpg").exists():
        assert server.get(quote(f"/api/workflow_templates/{PACK}/{name}.jpg"))[:2] == b"\xff\xd8"


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_help_pages_are_served(server, node):
    key, words = node.GET_SCHEMA().node_id, node_words()
    page = server.get(f"/extensions/{PACK}/docs/{key}.md").decode()
    assert page.startswith(f"# {unescape(words[key]['display_name'])}\n")
    for language in languages():
        page = server.get(f"/extensions/{PACK}/docs/{key}/{language}.md").decode()
        assert page.startswith(f"# {unescape(read(language)[key]['display_name'])}\n")


def test_the_blueprint_is_listed_and_served(server):
    ours = {k: v for k, v in server.json("/global_subgraphs").items() if v["info"]["node_pack"].endswith(PACK)}
    assert [entry["name"] for entry in ours.values()] == ["Take picture apart"]
    (key,) = ours
    served = json.loads(server.json(f"/global_subgraphs/{quote(key)}")["data"])
    assert served == json.loads((ROOT / "subgraphs" / "Take picture apart.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ON_LAB)
def test_it_runs(server, name):
    before = set((server.base / "output").rglob("*.png"))
    history = server.run(prompt_of(name))
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]
    saved = [n for n in prompt_of(name).values() if n["class_type"] == "SaveImage"]
    written = {path.name for path in set((server.base / "output").rglob("*.png")) - before}
    for node in saved:
        assert any(picture.startswith(node["inputs"]["filename_prefix"]) for picture in written)
