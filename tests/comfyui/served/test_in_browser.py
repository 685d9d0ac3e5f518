"""The pack in ComfyUI's page, in a headless browser: templates open, nothing is red, one runs, help is read."""

import io
import json
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
from PIL import Image

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.graph import Link
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.nodes import NODES
from concept_atelier.tools.build_thumbnails import SIDE
from concept_atelier.tools.locales import read, unescape
from concept_atelier.tools.workflow.foreign import drawing_registry

PACK = "concept-atelier"
ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))

MISSING_OR_RED = """() => window.app.graph._nodes.filter(
    node => node.has_errors || (!window.LiteGraph.registered_node_types[node.type] && !node.isVirtualNode)
).map(node => `${node.id} ${node.type}`)"""

CUT_OR_COVERED = """() => {
    const found = [], boxes = [];
    const parts = element => [...element.querySelectorAll('*')].filter(k => k.type !== 'file' && !k.children.length);
    for (const node of window.app.graph._nodes) {
        const element = document.querySelector(`[data-node-id="${node.id}"]`);
        const cut = !element ? [] : parts(element).filter(
            k => k.scrollWidth > k.clientWidth + 1 && (k.value || k.textContent.trim())
                && (k.tagName === 'INPUT' || getComputedStyle(k).overflowX !== 'visible'));
        // ComfyUI's own long word takes the room of what is beside it, and so does its sampler's name.
        found.push(...cut.map(k => k.value || k.textContent.trim()).filter(
            text => !['CONDITIONNEMENT', 'tokens', 'sampler_name'].includes(text)).map(t => `${node.title}: ${t}`));
        const [x, y] = node.pos, [w, h] = node.flags.collapsed ? [0, 0] : node.size;
        for (const [a, b, c, d] of boxes)
            if (x < a + c && a < x + w && y < b + d && b < y + h) found.push(`${node.title} lies on another`);
        boxes.push([x, y, w, h]);
    }
    return found;
}"""


def read_by_us(name):
    """What our runner makes of a workflow file: id to class and inputs."""
    with folders.use(folders.headless(ROOT, (WORKFLOWS / "input",))):
        graph = load_workflow(WORKFLOWS / f"{name}.json").graph(drawing_registry())
    return {
        key: (node.class_type, {k: [v.node, v.slot] if isinstance(v, Link) else v for k, v in node.inputs.items()})
        for key, node in graph.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_template_opens_whole_and_means_what_we_read(page, shots, version, name):
    page.load(name)
    page.shoot(shots / f"{version}_{name}.png")
    assert page.js(MISSING_OR_RED) == []
    prompt = page.js("async () => (await window.app.graphToPrompt()).output")
    theirs = {key: (node["class_type"], node["inputs"]) for key, node in prompt.items()}
    assert theirs == read_by_us(name)
    assert not page.errors()


def test_the_template_browser_shows_ours(page, shots, version):
    page.js("() => window.app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.tab.wait_for_timeout(4000)
    page.tab.get_by_text("Concept Atelier", exact=True).first.click()
    ours = {path.stem for path in WORKFLOWS.glob("*.jpg")}

    def loaded():
        return {name for name in NAMES if any(f"/{PACK}/{name}.jpg" in unquote(url) for url in page.loaded)}

    drawn = "side => [...document.querySelectorAll('img')].filter(i => i.naturalWidth === side).length"
    page.tab.wait_for_timeout(5000)
    page.shoot(shots / f"{version}_templates.png")
    assert page.tab.get_by_text("Take a picture apart", exact=True).first.is_visible()
    in_sight = [page.js(drawn, SIDE)]
    page.tab.mouse.move(600, 500)
    for _ in range(2 * len(ours)):  # a picture is loaded when it comes into sight, so a leap would pass some by
        if loaded() == ours:
            break
        page.tab.mouse.wheel(0, 300)
        page.tab.wait_for_timeout(1500)
        in_sight.append(page.js(drawn, SIDE))
    assert loaded() == ours
    assert min(in_sight) > 0  # their sources may be copies without a name
    assert not page.errors()


def test_one_runs_from_the_page(page, shots, version, server):
    page.load("See where words land")
    history = page.run(server)
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]
    page.tab.wait_for_timeout(4000)
    page.shoot(shots / f"{version}_ran.png")
    assert page.js(MISSING_OR_RED) == []
    assert page.js("() => window.app.graph._nodes.filter(n => n.imgs?.length).length") >= 3
    (drawn,) = page.js(
        """() => window.app.graph._nodes.filter(n => n.type === 'ConceptAtelierShowWordHeatmap')
            .map(n => [String(n.id), n.imgs.map(i => [i.naturalWidth, i.naturalHeight])])"""
    )
    (sheet,) = history["outputs"][drawn[0]]["images"]
    assert drawn[1] == [list(Image.open(io.BytesIO(server.get(f"/view?{urlencode(sheet)}"))).size)]
    assert not page.errors()


def test_what_was_erased_stands_under_the_node(page, shots, version, server):
    loaded = {part: ["1", slot] for slot, part in enumerate(("model", "clip"))}
    chosen = {"anchors": "", "preserve": "dog", "strength": 1.0, "preset": "paper", "damping": 0.5}
    chosen |= {"preserve_scale": 1.0, "projections": "both"}
    graph = {
        "1": ("ConceptAtelierLoadLabModel", {}),
        "2": ("ConceptAtelierEraseConcepts", {**loaded, "concepts": "cat, kitty", **chosen}),
        "3": ("ConceptAtelierSaveErasureAsLora", {"erasure": ["2", 1], "name": "served/erased"}),
    }
    graph = {key: {"class_type": kind, "inputs": inputs} for key, (kind, inputs) in graph.items()}
    page.js("graph => window.app.loadApiJson(graph, 'erase')", graph)
    page.tab.wait_for_timeout(1500)
    history = page.run(server)
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]
    page.js("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.shoot(shots / f"{version}_erased.png")
    shown = page.js(
        """() => window.app.graph.getNodeById(2).widgets
            .filter(w => w.name === 'said').map(w => w.element.textContent)"""
    )
    assert shown == history["outputs"]["2"]["text"]
    assert shown[0].startswith("cat is read as nothing in particular\nkitty is read as nothing")
    assert page.tab.get_by_text("cat is read as nothing in particular").first.is_visible()
    assert not page.errors()


def test_tooltips_with_signs_of_the_message_syntax_are_read(page):
    """Our words pass through the front end's message compiler: one wrong sign would make a tooltip an error."""
    page.js("() => window.app.graph.clear()")
    for node in NODES:
        assert page.js("type => !!window.LiteGraph.createNode(type)", node.GET_SCHEMA().node_id)
    assert not page.errors()


@pytest.mark.parametrize("page", ["fr-FR"], indirect=True)
def test_names_are_french_for_a_french_browser(page, shots, version):
    page.load("Take a picture apart")
    page.shoot(shots / f"{version}_french.png")
    words = {key: unescape(of["display_name"]) for key, of in read("fr").items()}
    titles = page.js("() => window.app.graph._nodes.map(n => [n.type, n.title])")
    ours = [(kind, title) for kind, title in titles if kind in words]
    assert ours and all(title == words[kind] for kind, title in ours if not title.startswith("Prompt: "))
    assert not page.errors()


@pytest.mark.parametrize("page", ["de-DE", "fr-FR"], indirect=True)
def test_our_words_are_in_the_language_that_the_page_shows_nodes_in(page):
    """A page without German takes a German browser's language and shows English."""
    page.load("Take a picture apart")
    shown = page.js(
        """() => { const node = window.app.graph._nodes.find(n => n.type === 'ConceptAtelierLearnConceptTokens');
                   return [node.title, node.widgets.find(w => w.name === 'steps').label]; }"""
    )
    assert shown in (
        ["Learn Concept Tokens", "steps (preset)"],
        ["Konzept-Token lernen", "Schritte (Vorgabe)"],
        ["Apprendre les tokens de concepts", "étapes (préréglé)"],
    )
    assert not page.errors()


@pytest.mark.parametrize("page", ["en-US", "fr-FR"], indirect=True)
@pytest.mark.parametrize("name", [name for name in NAMES if "(" not in name])
def test_nothing_on_a_node_is_cut_or_lies_on_another(page, name):
    page.js("() => window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', true)")
    page.load(name)
    assert page.js(CUT_OR_COVERED) == []


def test_presets_of_saved_workflows_get_the_names_of_today(page):
    drawn = json.loads((WORKFLOWS / "Take a picture apart.json").read_text(encoding="utf-8"))
    old = {"ConceptAtelierLocalizeConcepts": "small_grid", "ConceptAtelierLearnConceptTokens": "lab"}
    for node in drawn["nodes"]:
        if node["type"] in old:
            values = node["widgets_values"]
            values[values.index("small")] = old[node["type"]]
    page.js("async body => await window.app.loadGraphData(body)", drawn)
    page.tab.wait_for_timeout(1500)
    shown = page.js(
        """kinds => window.app.graph._nodes.filter(n => kinds.includes(n.type))
            .map(n => n.widgets.find(w => w.name === 'preset').value)""",
        list(old),
    )
    assert shown == ["small", "small"]
    sent = page.js("async () => (await window.app.graphToPrompt()).output")
    assert [node["inputs"]["preset"] for node in sent.values() if node["class_type"] in old] == ["small", "small"]
    assert page.js(MISSING_OR_RED) == [] and not page.errors()


def test_widgets_saved_before_a_node_got_others_keep_their_values(page):
    drawn = json.loads((WORKFLOWS / "Take a picture apart.json").read_text(encoding="utf-8"))
    (learn,) = (node for node in drawn["nodes"] if node["type"] == "ConceptAtelierLearnConceptTokens")
    values = {
        "preset": "small",
        "steps": 77,
        "learning_rate": 0.005,
        "template": "a {}",
        "preview_every": 20,
        "seed": 5,
    }
    learn["inputs"] = [one for one in learn["inputs"] if not one.get("widget") or one["name"] in values]
    learn["widgets_values"] = [*values.values(), "fixed"]  # as of November 2026, before there were methods
    page.js("async body => await window.app.loadGraphData(body)", drawn)
    page.tab.wait_for_timeout(1500)
    sent = page.js("async () => (await window.app.graphToPrompt()).output")
    (node,) = (node["inputs"] for node in sent.values() if node["class_type"] == learn["type"])
    assert {name: node[name] for name in values} == values and node["method"] == "conceptexpress"
    assert page.js(MISSING_OR_RED) == [] and not page.errors()


def test_the_blueprint_is_offered_and_opens(page, shots, version, server):
    body = json.loads((ROOT / "subgraphs" / "Take picture apart.json").read_text(encoding="utf-8"))
    page.js("async body => await window.app.loadGraphData(body)", body)
    page.tab.wait_for_timeout(1500)
    node = page.js(
        """() => { const [node] = window.app.graph._nodes; return {
            title: node.title, inputs: node.inputs.map(i => i.type), outputs: node.outputs.map(o => o.type),
            widgets: node.widgets.map(w => w.name), inside: node.subgraph.nodes.map(n => n.type) }; }"""
    )
    page.js("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.shoot(shots / f"{version}_blueprint.png")
    assert node["title"] == "Take picture apart"
    assert node["outputs"] == ["CONCEPTS", "MASK", "IMAGE"]
    assert {"IMAGE", "MODEL", "CLIP", "VAE"} <= set(node["inputs"])
    assert len(node["inside"]) == 2 and "preset" in node["widgets"] and "merge" in node["widgets"]
    assert not page.errors()


def test_help_is_shown_for_a_selected_node(page, shots, version):
    page.load("Erase a concept")
    page.js(
        """() => { const node = window.app.graph._nodes.find(n => n.type === 'ConceptAtelierEraseConcepts');
                   window.app.canvas.selectNode(node); }"""
    )
    page.tab.wait_for_timeout(1500)
    page.js("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.tab.wait_for_timeout(1000)
    button = page.tab.locator("[data-testid='info-button'], button:has(.icon-\\\\[lucide--info\\\\]), .pi-info-circle")
    if not button.count():
        pytest.skip(f"no info button in the front end of ComfyUI {version}")
    button.first.click()
    page.tab.wait_for_timeout(2500)
    page.shoot(shots / f"{version}_help.png")
    assert page.tab.get_by_text("WACV 2024").count()
    assert not [text for text in page.errors() if "/en.md" not in text]
