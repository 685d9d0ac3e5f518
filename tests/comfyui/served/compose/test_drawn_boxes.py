"""Compose Concepts in ComfyUI's page: boxes are drawn, moved, named and deleted, in the classic view and in Nodes 2.0.

What is drawn stands in the texts `concepts` and `places`, so that the API and headless runs need no page.
"""

import pytest

from concept_atelier.host.jobs.compose.composing import PLACES
from concept_atelier.host.pictures.drawing import PALETTE

PACK = "concept-atelier"
VUE = "Comfy.VueNodes.Enabled"
NODE = "2"
GRAPH = {
    "1": {"class_type": "ConceptAtelierLoadLabModel", "inputs": {}},
    NODE: {
        "class_type": "ConceptAtelierComposeConcepts",
        "inputs": {
            "model": ["1", 0],
            "clip": ["1", 1],
            "prompt": "a cat and a rocket on blue",
            "concepts": "a cat\na rocket",
            "places": "left\nfound weight=0.5",
            "method": "attention_couple",
            "preset": "small",
            "settings": "",
            "width": 768,
            "height": 512,
        },
    },
    "3": {"class_type": "MaskToImage", "inputs": {"mask": [NODE, 2]}},
    "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
}


@pytest.fixture(params=["classic", "vue"])
def view(page, server, request):
    """A way of drawing nodes, until the test ends."""
    page.js(
        "async ([name, on]) => await window.app.extensionManager.setting.set(name, on)", [VUE, request.param == "vue"]
    )
    page.tab.wait_for_timeout(1500)
    yield request.param
    page.js("async name => await window.app.extensionManager.setting.set(name, false)", VUE)
    server.post(f"/settings/{VUE}", False)


class Canvas:
    """The canvas of the node in the page, used as a person uses it; points are shares of the picture's sides."""

    def __init__(self, page, server):
        self.page, self.server = page, server

    def js(self, code, *given):
        return self.page.js(
            f"([key, ...given]) => {{ const node = window.app.graph.getNodeById(Number(key)); {code} }}", [NODE, *given]
        )

    def show(self):
        self.js(
            """const { canvas } = window.app; canvas.ds.scale = 1;
               canvas.ds.offset = [450 - node.pos[0], 60 - node.pos[1]]; canvas.setDirty(true, true);"""
        )
        self.page.tab.wait_for_timeout(1000)

    def texts(self):
        return self.js(
            """const read = name => node.widgets.find(w => w.name === name).value;
               return [read('concepts').split('\\n'), read('places').split('\\n')];"""
        )

    def write(self, name, text):
        self.js(
            """const widget = node.widgets.find(w => w.name === given[0]);
               widget.value = given[1]; widget.callback?.(given[1]);""",
            name,
            text,
        )
        self.page.tab.wait_for_timeout(500)

    @property
    def root(self):
        return self.page.tab.evaluate_handle(
            """key => window.app.graph.getNodeById(Number(key)).widgets.find(w => w.name === 'boxes').element""", NODE
        ).as_element()

    def says(self):
        return self.root.query_selector(".bar span").inner_text()

    def point(self, x, y, proportions=1.5):
        box = self.root.query_selector("canvas").bounding_box()
        width = min(box["width"] - 16, (box["height"] - 16) * proportions)
        height = width / proportions
        return (
            box["x"] + (box["width"] - width) / 2 + x * width,
            box["y"] + (box["height"] - height) / 2 + y * height,
        )

    def drag(self, start, end):
        mouse = self.page.tab.mouse
        mouse.move(*self.point(*start))
        mouse.down()
        mouse.move(*self.point(*end), steps=5)
        mouse.up()
        self.page.tab.wait_for_timeout(300)

    def press(self, button):
        self.root.query_selector(f"button.{button}").click()
        self.page.tab.wait_for_timeout(300)


@pytest.fixture
def canvas(page, server, view):
    page.said.clear()
    page.js("graph => window.app.loadApiJson(graph, 'compose')", GRAPH)
    page.tab.wait_for_timeout(1500)
    opened = Canvas(page, server)
    opened.show()
    return opened


def box_in(line):
    return [float(number) for number in line.split(", ")[:4]]


def test_boxes_are_drawn_moved_stretched_named_and_deleted(canvas, page, shots, version, view):
    assert canvas.says() == "Found by their words: a rocket"
    canvas.drag((0.6, 0.2), (0.9, 0.7))
    names, places = canvas.texts()
    assert names == ["a cat", "a rocket"] and places[0] == "left"
    first, _, options = places[1].rpartition(" ")
    assert box_in(first) == pytest.approx([0.6, 0.2, 0.9, 0.7], abs=0.02) and options == "weight=0.5"
    page.shoot(shots / f"{version}_boxes_{view}.png")
    canvas.drag((0.75, 0.45), (0.65, 0.35))
    moved = box_in(canvas.texts()[1][1].rpartition(" ")[0])
    assert moved == pytest.approx([0.5, 0.1, 0.8, 0.6], abs=0.02)
    canvas.drag((0.8, 0.35), (0.95, 0.35))
    assert box_in(canvas.texts()[1][1].rpartition(" ")[0]) == pytest.approx([0.5, 0.1, 0.95, 0.6], abs=0.02)
    canvas.drag((0.55, 0.7), (0.9, 0.98))
    page.tab.keyboard.type("a red tree")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_timeout(300)
    names, places = canvas.texts()
    assert names == ["a cat", "a rocket", "a red tree"]
    assert box_in(places[2]) == pytest.approx([0.55, 0.7, 0.9, 0.98], abs=0.02)
    page.tab.mouse.dblclick(*canvas.point(0.25, 0.5))
    page.tab.keyboard.type("a lion")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_timeout(300)
    assert canvas.texts()[0] == ["a lion", "a rocket", "a red tree"]
    page.shoot(shots / f"{version}_boxes_named_{view}.png")
    page.tab.mouse.click(*canvas.point(0.25, 0.5))
    page.tab.keyboard.press("Delete")
    page.tab.wait_for_timeout(300)
    assert canvas.texts()[1][0] == "found" and canvas.texts()[0][0] == "a lion"
    assert page.js("() => window.app.graph._nodes.length") == 4
    page.tab.mouse.click(*canvas.point(0.7, 0.85))
    canvas.press("remove")
    assert canvas.texts()[0] == ["a lion", "a rocket"] and len(canvas.texts()[1]) == 2
    assert not page.errors()


def test_what_was_drawn_is_run_and_comes_back_with_the_workflow(canvas, page, server, shots, version):
    canvas.drag((0.6, 0.2), (0.9, 0.7))
    history = page.run(server)
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]
    assert len(history["outputs"]["4"]["images"]) == 2
    saved = page.js("() => window.app.graph.serialize()")
    before = canvas.texts()
    page.js("body => window.app.loadGraphData(body, true, true, 'again')", saved)
    page.tab.wait_for_timeout(1500)
    canvas.show()
    assert canvas.texts() == before and canvas.root.query_selector("canvas").is_visible()
    (node,) = (n for n in saved["nodes"] if str(n["id"]) == NODE)
    node["properties"].pop("conceptatelier_boxes")
    size = node["size"] = [320, 620]
    page.js("body => window.app.loadGraphData(body, true, true, 'old')", saved)
    page.tab.wait_for_timeout(1500)
    canvas.show()
    page.shoot(shots / f"{version}_boxes_old.png")
    assert not canvas.root.query_selector("canvas").is_visible()
    assert canvas.js("return [...node.size]") == pytest.approx(size, abs=60)
    canvas.press("boxes")
    assert canvas.root.query_selector("canvas").is_visible() and canvas.texts() == before
    assert not page.errors()


def test_a_name_that_is_not_given_leaves_no_box(canvas, page):
    canvas.write("places", "left\nright")
    canvas.drag((0.02, 0.02), (0.02, 0.02))
    assert canvas.texts()[1] == ["left", "right"]
    canvas.write("places", "left\n0.6, 0, 1, 0.5")
    canvas.drag((0.65, 0.6), (0.9, 0.9))
    page.tab.keyboard.press("Escape")
    page.tab.wait_for_timeout(300)
    assert canvas.texts() == [["a cat", "a rocket"], ["left", "0.6, 0, 1, 0.5"]]
    canvas.write("places", "left\nsomewhere")
    assert "somewhere" in canvas.says()


@pytest.fixture(scope="module")
def boxes(server, browser):
    """Evaluate an expression in which the module boxes.js is ``m``."""
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(server.url + "/system_stats")
    yield lambda expression: tab.evaluate(
        f"async () => {{ const m = await import('/extensions/{PACK}/js/boxes.js'); return {expression}; }}"
    )
    context.close()


def test_places_and_colours_are_those_of_the_node(boxes):
    assert {name: tuple(box) for name, box in boxes("m.PLACES").items()} == PLACES
    assert [tuple(colour) for colour in boxes("m.COLOURS")] == list(PALETTE)


@pytest.mark.parametrize(
    ("concepts", "places", "again"),
    [
        ("a cat\n\na dog", "left\nright", "left\nright"),
        ("a\nb", "", ""),
        ("a\nb", "Top Left weight=2\n0.1 .2 0.3,0.4", "Top Left weight=2\n0.1 .2 0.3,0.4"),
        ("a\nb", "left", "left\nfound"),
        ("a", "nowhere end=0.5", "nowhere end=0.5"),
    ],
)
def test_texts_are_kept_as_they_were_written(boxes, concepts, places, again):
    names = "\n".join(line for line in concepts.split("\n") if line)
    assert boxes(f"m.textsOf(m.entriesOf({concepts!r}, {places!r}))") == {"concepts": names, "places": again}


def test_a_moved_box_stays_inside_and_snaps(boxes):
    assert boxes("m.dragged([0.2, 0.2, 0.5, 0.6], 'move', [0.9, -0.9])") == pytest.approx([0.7, 0, 1, 0.4])
    assert boxes("m.dragged([0.2, 0.2, 0.5, 0.6], 'r', [0.16, 0])") == pytest.approx([0.2, 0.2, 2 / 3, 0.6])
    assert boxes("m.dragged([0.2, 0.2, 0.5, 0.6], 'lt', [0.9, 0.9])") == pytest.approx([0.48, 0.58, 0.5, 0.6])
    assert boxes("m.between([0.1, 0.1], [0.105, 0.9])") is None
    assert boxes("m.gripOf([0.2, 0.2, 0.5, 0.6], [0.5, 0.4], [0.01, 0.01])") == "r"
    assert boxes("m.gripOf([0.2, 0.2, 0.5, 0.6], [0.35, 0.4], [0.01, 0.01])") == "move"
    assert boxes("m.gripOf([0.2, 0.2, 0.5, 0.6], [0.9, 0.4], [0.01, 0.01])") is None
