"""A graph with an Edit Concepts of three squares, on a running server and in its page."""

import io
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image, ImageDraw

SIDE = 128
# What stands where: left, top, right, bottom of each concept's mask, in pixels that are whole cells of the grid.
BOXES = {"red": (16, 16, 56, 56), "green": (72, 16, 112, 56), "blue": (40, 72, 88, 112)}
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 220)}
LOAD, PICTURE, MASKS, CONCEPTS, EDIT, SHOWN = "1", "2", "3", "6", "7", "8"
EMPTY = {"keep": "", "drop": "", "merge": "", "rename": "", "grow": 0, "add_background": False}


def graph_of(*edits, wired=True):
    """Concepts of given masks, one Edit Concepts after the other for each of ``edits``, and their masks as pictures."""
    names = list(BOXES)
    graph = {
        LOAD: ("ConceptAtelierLoadLabModel", {}),
        PICTURE: ("LoadImage", {"image": "squares.png"}),
        **{f"mask_{i}": ("LoadImageMask", {"image": f"square_{n}.png", "channel": "red"}) for i, n in enumerate(names)},
        "batch_1": ("MaskToImage", {"mask": ["mask_0", 0]}),
        "batch_2": ("MaskToImage", {"mask": ["mask_1", 0]}),
        "batch_3": ("MaskToImage", {"mask": ["mask_2", 0]}),
        "two": ("ImageBatch", {"image1": ["batch_1", 0], "image2": ["batch_2", 0]}),
        "three": ("ImageBatch", {"image1": ["two", 0], "image2": ["batch_3", 0]}),
        MASKS: ("ImageToMask", {"image": ["three", 0], "channel": "red"}),
        CONCEPTS: (
            "ConceptAtelierConceptsFromMasks",
            {
                **{part: [LOAD, slot] for slot, part in enumerate(("model", "clip", "vae"))},
                "image": [PICTURE, 0],
                "masks": [MASKS, 0],
                "names": ", ".join(names),
                "target": "mask",
                "preset": "small",
                "seed": 0,
            },
        ),
    }
    source = CONCEPTS
    for number, edit in enumerate(edits):
        key = str(int(EDIT) + 10 * number)
        picture = {"image": [PICTURE, 0]} if wired else {}
        graph[key] = ("ConceptAtelierEditConcepts", {"concepts": [source, 0], **picture, **EMPTY, **edit})
        graph[str(int(SHOWN) + 10 * number)] = ("MaskToImage", {"mask": [key, 1]})
        graph[str(int(SHOWN) + 10 * number + 1)] = ("PreviewImage", {"images": [str(int(SHOWN) + 10 * number), 0]})
        source = key
    # The page numbers nodes itself where ids are no numbers.
    ids = {key: key if key.isdigit() else str(100 + i) for i, key in enumerate(graph)}
    rename = lambda value: [ids[value[0]], value[1]] if isinstance(value, list) else value  # noqa: E731
    return {
        ids[key]: {"class_type": kind, "inputs": {name: rename(value) for name, value in inputs.items()}}
        for key, (kind, inputs) in graph.items()
    }


@pytest.fixture(scope="module")
def squares(server):
    """The picture and its masks in the server's input folder."""
    picture = Image.new("RGB", (SIDE, SIDE), (230, 225, 210))
    for name, box in BOXES.items():
        mask = Image.new("RGB", (SIDE, SIDE))
        for image, colour in ((picture, COLOURS[name]), (mask, "white")):
            ImageDraw.Draw(image).rectangle((*box[:2], box[2] - 1, box[3] - 1), fill=colour)
        mask.save(server.base / "input" / f"square_{name}.png")
    picture.save(server.base / "input" / "squares.png")


class Editor:
    """An Edit Concepts node in the page, used as a person uses it. ``inside`` is the key of a subgraph it is in."""

    def __init__(self, page, server, key=EDIT, inside=None):
        self.page, self.server, self.key = page, server, key
        self.inside = inside
        self.run_as = key if inside is None else f"{inside}:{key}"

    def show(self):
        """Bring the node to the middle of the page, in its own size."""
        self.page.js(
            """key => { const { canvas } = window.app; const node = window.app.canvas.graph.getNodeById(Number(key));
                        canvas.ds.scale = 1;
                        canvas.ds.offset = [500 - node.pos[0], 180 - node.pos[1]];
                        canvas.setDirty(true, true); }""",
            self.key,
        )
        self.page.tab.wait_for_timeout(1000)

    def write(self, name, text):
        """Change an input as typing into it does."""
        self.page.js(
            """([key, name, text]) => { const node = window.app.canvas.graph.getNodeById(Number(key));
                const widget = node.widgets.find(w => w.name === name);
                widget.value = text; widget.callback?.(text); }""",
            [self.key, name, text],
        )
        self.page.tab.wait_for_timeout(500)

    def said(self, history):
        """The text that came of a run."""
        return history["outputs"][self.run_as]["text"][0]

    def masks(self, history):
        """The masks (N, H, W) bool that came of a run, by way of a Preview Image."""
        files = history["outputs"][str(int(self.key) + 2)]["images"]
        opened = [Image.open(io.BytesIO(self.server.get(f"/view?{urlencode(file)}"))) for file in files]
        return np.stack([np.asarray(image)[..., 0] > 127 for image in opened])

    def covered(self, history):
        """For each mask that came of a run, the squares it is made of; a square's corners may be rounded."""
        return [{name for name, box in BOXES.items() if _share(mask, box) > 0.95} for mask in self.masks(history)]

    @property
    def root(self):
        """The editor's element; with several on the page, the one that stands in this node."""
        handle = self.page.tab.evaluate_handle(
            "key => window.app.canvas.graph.getNodeById(Number(key)).widgets.find(w => w.name === 'regions').element",
            self.key,
        )
        return handle.as_element()

    def texts(self):
        return self.page.js(
            """key => Object.fromEntries(window.app.canvas.graph.getNodeById(Number(key)).widgets
                .filter(w => ['keep', 'drop', 'merge', 'rename'].includes(w.name)).map(w => [w.name, w.value]))""",
            self.key,
        )

    def says(self):
        return self.root.query_selector(".bar span").inner_text()

    def hints(self):
        return self.root.query_selector("p").inner_text()

    def text_under(self, kind):
        """What stands under the one node of a kind."""
        return self.page.js(
            """kind => window.app.canvas.graph._nodes.find(n => n.type === kind)
                .widgets.find(w => w.name === 'said').element.textContent""",
            kind,
        )

    def point(self, name):
        """Where the middle of a concept's region is on the page."""
        left, top, right, bottom = BOXES[name]
        box = self.root.query_selector("canvas").bounding_box()
        side = min(box["width"], box["height"])
        corner = (box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2)
        return corner[0] + (left + right) / 2 / SIDE * side, corner[1] + (top + bottom) / 2 / SIDE * side

    def colour(self, name):
        """The colour a region is drawn in, off its middle, where its label stands."""
        x, y = self.point(name)
        shot = Image.open(io.BytesIO(self.page.tab.screenshot()))
        return np.asarray(shot.convert("RGB"), dtype=int)[int(y) + 16, int(x)]

    def click(self, name, shift=False):
        keyboard = self.page.tab.keyboard
        if shift:
            keyboard.down("Shift")
        self.page.tab.mouse.click(*self.point(name))
        if shift:
            keyboard.up("Shift")
        self.page.tab.wait_for_timeout(700)  # two clicks of ours are no double click

    def rename(self, name, new, key="Enter"):
        self.page.tab.mouse.dblclick(*self.point(name))
        self.page.tab.keyboard.type(new)
        self.page.tab.keyboard.press(key)
        self.page.tab.wait_for_timeout(300)

    def press(self, button):
        self.root.query_selector(f"button.{button}").click()
        self.page.tab.wait_for_timeout(300)

    def enabled(self, button):
        return self.root.query_selector(f"button.{button}").is_enabled()

    def run(self):
        """Queue what is on the page and wait; gives the run's history."""
        return self.page.run(self.server)


def _share(mask, box):
    left, top, right, bottom = box
    return mask[top:bottom, left:right].mean()


@pytest.fixture
def open_graph(page, server, squares):
    def go(*edits, **how):
        page.said.clear()  # what the page said of itself while it opened
        page.js("graph => window.app.loadApiJson(graph, 'edit')", graph_of(*edits, **how))
        page.tab.wait_for_timeout(1500)
        return Editor(page, server)

    return go


@pytest.fixture
def editor_of(page, server):
    """The editor of the first, second ... Edit Concepts of the graph on the page, or of any, by its key."""
    return lambda number=0, key=None, inside=None: Editor(page, server, key or str(int(EDIT) + 10 * number), inside)


@pytest.fixture
def editor(open_graph):
    """An editor whose node has run once."""
    opened = open_graph({})
    assert "once" in opened.hints()
    history = opened.run()
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]
    opened.show()
    return opened


@pytest.fixture
def over_api(server, squares):
    """Run the graph with these inputs of Edit Concepts over the API, without a page."""
    return lambda **edit: server.run(graph_of(edit))
