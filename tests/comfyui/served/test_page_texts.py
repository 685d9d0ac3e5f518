"""Prompts and filename prefixes: what ComfyUI's page sends is what our runner makes of the same file."""

from datetime import date

from concept_atelier.host.files import folders
from concept_atelier.host.workflow.page_texts import resolve_texts
from concept_atelier.host.workflow.reading import load_workflow
from concept_atelier.host.workflow.registry import Registry
from concept_atelier.nodes.headless import HEADLESS_NODES

PART = "05553f78-83af-4fc4-a4e5-ba6507657a59"


def text_node(key, text, link=None, **fields):
    inputs = [
        {"name": "clip", "type": "CLIP", "link": None},
        {"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": link},
    ]
    outputs = [{"name": "CONDITIONING", "type": "CONDITIONING", "links": []}]
    return placed(key, "CLIPTextEncode", inputs, outputs, [text], **fields)


def placed(key, kind, inputs, outputs, values, **fields):
    place = {"pos": [400 * key, 0], "size": [320, 120], "flags": {}, "order": key, "mode": 0}
    return {
        **place, "id": key, "type": kind, "inputs": inputs, "outputs": outputs, "widgets_values": values,
        "properties": {"Node name for S&R": kind}, **fields,
    }  # fmt: skip


def drawn():
    """A file with alternatives, comments and tokens in every place that a text may stand in."""
    concept = placed(
        6, "ConceptAtelierEncodeConceptPrompt",
        [{"name": "clip", "type": "CLIP", "link": None}, {"name": "tokens", "type": "CONCEPT_TOKENS", "link": None}],
        [{"name": "CONDITIONING", "type": "CONDITIONING", "links": []}], ["<1> {in|in} snow // a note"],
    )  # fmt: skip
    primitive = placed(
        3, "PrimitiveNode", [],
        [{"name": "STRING", "type": "STRING", "links": [1], "widget": {"name": "text"}}], ["fed {a|a} /* x */"],
    )  # fmt: skip
    latent = [{"name": "LATENT", "type": "LATENT", "links": []}]
    sampler = placed(4, "KSampler", [], latent, [7, "fixed", 20, 4.0, "euler", "normal", 0.5], title="My Sampler")
    prefix = "%date:yyyy-MM-dd%/%KSampler.cfg%_%My Sampler.seed%_%Look.text%_%width%_%batch_num%_100%"
    saver = placed(5, "SaveImage", [{"name": "images", "type": "IMAGE", "link": None}], [], [prefix], properties={})
    shown = placed(
        7, PART, [{"name": "text", "type": "STRING", "widget": {"name": "text"}, "link": None}],
        [{"name": "CONDITIONING", "type": "CONDITIONING", "links": []}], ["shown {a|a}"],
        properties={"proxyWidgets": [["-1", "text"]]},
    )  # fmt: skip
    nodes = [
        text_node(1, "a {cat|{cat|cat}} \\{x\\|y\\} // note\nand /* {two} */ a \\(dog\\) {of|of"),
        text_node(2, "typed", link=1),
        primitive, sampler, saver, concept, shown,
        text_node(8, 'a/"b" {c|c}', properties={"Node name for S&R": "Look"}),
    ]  # fmt: skip
    body = {"last_node_id": 11, "last_link_id": 1, "groups": [], "config": {}, "extra": {}, "version": 0.4}
    return {**body, "nodes": nodes, "links": [[1, 3, 0, 2, 1, "STRING"]], "definitions": {"subgraphs": [part()]}}


def part():
    """A subgraph that shows the text of the node inside as its own widget."""
    inner = text_node(11, "shown {a|a}", link=1)
    inner["outputs"][0]["links"] = [2]
    return {
        "id": PART, "version": 1, "revision": 0, "config": {}, "name": "Part", "groups": [], "widgets": [], "extra": {},
        "state": {"lastGroupId": 0, "lastNodeId": 11, "lastLinkId": 2, "lastRerouteId": 0},
        "inputNode": {"id": -10, "bounding": [-200, 0, 120, 60]},
        "outputNode": {"id": -20, "bounding": [600, 0, 120, 60]},
        "inputs": [{"id": PART[:-1] + "1", "name": "text", "type": "STRING", "linkIds": [1], "pos": [0, 0]}],
        "outputs": [
            {"id": PART[:-1] + "2", "name": "CONDITIONING", "type": "CONDITIONING", "linkIds": [2], "pos": [0, 0]}
        ],
        "nodes": [inner],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 11, "target_slot": 1, "type": "STRING"},
            {"id": 2, "origin_id": 11, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "CONDITIONING"},
        ],
    }  # fmt: skip


def sent_by_us(workflow, folder):
    read = load_workflow(workflow)
    with folders.use(folders.headless(folder, (folder,))):
        registry = Registry(HEADLESS_NODES)
        return resolve_texts(read.read(registry)[0], registry, 0, drawn=read.is_drawn)


def test_the_page_sends_what_we_make_of_a_file(page, tmp_path):
    workflow = drawn()
    page.js("async body => await window.app.loadGraphData(body)", workflow)
    page.tab.wait_for_timeout(1500)
    prompt = page.js("async () => (await window.app.graphToPrompt()).output")
    ours = sent_by_us(workflow, tmp_path)
    texts = {"1": "a cat {x|y} \nand  a \\(dog\\) of", "2": "fed a ", "6": "<1> in snow ", "8": 'a/"b" c'}
    assert {key: prompt[key]["inputs"]["text"] for key in texts} == texts
    for key, node in ours.graph.items():
        for name in ("text", "filename_prefix"):
            assert node.inputs.get(name) == prompt[key]["inputs"].get(name), (key, name)
    assert prompt["7:11"]["inputs"]["text"] == "shown {a|a}"
    named = f"{date.today()}/4_7_a__b_ {{c_c}}_%width%_%batch_num%_100%"
    assert prompt["5"]["inputs"]["filename_prefix"] == named
    assert sum("was taken" in note for note in ours.notes) == 4
    assert not page.errors()
