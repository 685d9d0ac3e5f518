"""Small V3 nodes, and graphs drawn by hand, for the tests of the headless host."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from concept_atelier.host.files import folders
from concept_atelier.host.schema import io, ui
from concept_atelier.host.shared.progress import start_progress
from concept_atelier.host.workflow.registry import Registry


def _schema(node_id, inputs=(), outputs=(), **fields):
    return io.Schema(node_id=node_id, category="test", inputs=list(inputs), outputs=list(outputs), **fields)


class Number(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Number", [io.Int.Input("value", default=3, min=0, max=100)], [io.Int.Output("number")])

    @classmethod
    def execute(cls, value):
        return io.NodeOutput(value)


class Add(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [io.Int.Input("a", default=0), io.Int.Input("b", default=0)]
        return _schema("Add", inputs, [io.Int.Output("sum")], display_name="Add Numbers")

    @classmethod
    def execute(cls, a, b):
        return io.NodeOutput(a + b)


class Seeded(io.ComfyNode):
    """A seed (with its control widget) between other widgets, required and optional."""

    @classmethod
    def define_schema(cls):
        inputs = [
            io.Image.Input("image"),
            io.String.Input("note", optional=True, default="plain"),
            io.Int.Input("seed", default=0, min=0, max=2**64 - 1, control_after_generate=True),
            io.Float.Input("strength", default=1.0, min=0.0, max=2.0),
            io.Combo.Input("mode", ["soft", "hard"]),
            io.Boolean.Input("flag", default=False),
        ]
        return _schema("Seeded", inputs, [io.Image.Output("out")])

    @classmethod
    def execute(cls, image, seed, strength, mode, flag, note="plain"):
        return io.NodeOutput(image * strength)


class Grey(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Grey", [io.Float.Input("level", default=0.5, min=0, max=1)], [io.Image.Output("image")])

    @classmethod
    def execute(cls, level):
        return io.NodeOutput(torch.full((1, 4, 6, 3), level))


class Show(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Show", [io.AnyType.Input("source")], is_output_node=True)

    @classmethod
    def execute(cls, source):
        return io.NodeOutput(ui=ui.PreviewText(str(source)))


class Save(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        inputs = [io.Image.Input("images"), io.String.Input("filename_prefix", default="test")]
        return _schema("Save", inputs, is_output_node=True)

    @classmethod
    def execute(cls, images, filename_prefix):
        return io.NodeOutput(ui=ui.ImageSaveHelper.get_save_images_ui(images, filename_prefix, cls))


class Fails(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Fails", [io.Int.Input("number", default=0)], [io.Int.Output("out")])

    @classmethod
    def execute(cls, number):
        raise ValueError(f"{number} is no good")


class Blocks(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Blocks", [io.Int.Input("number", default=0)], [io.Int.Output("out")])

    @classmethod
    def execute(cls, number):
        return io.NodeOutput(block_execution="no concept was found")


class Spread(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        outputs = [io.Int.Output("each", is_output_list=True)]
        return _schema("Spread", [io.Int.Input("count", default=3)], outputs)

    @classmethod
    def execute(cls, count):
        return io.NodeOutput(list(range(count)))


class Total(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Total", [io.Int.Input("numbers", default=0)], [io.Int.Output("total")], is_input_list=True)

    @classmethod
    def execute(cls, numbers):
        return io.NodeOutput(sum(numbers))


class Picky(io.ComfyNode):
    """Checks ``even`` itself, so that its range does not count; ``other`` is checked by its range."""

    @classmethod
    def define_schema(cls):
        inputs = [io.Int.Input("even", default=0, max=4), io.Int.Input("other", default=0, max=4)]
        return _schema("Picky", inputs, is_output_node=True)

    @classmethod
    def execute(cls, even, other):
        return io.NodeOutput()

    @classmethod
    def validate_inputs(cls, even):
        return True if even is None or even % 2 == 0 else "give an even number"


class Slow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("Slow", [io.Int.Input("number", default=0)], [io.Int.Output("out")])

    @classmethod
    def execute(cls, number):
        progress = start_progress()
        for step in range(5):
            progress(step, 5)
        return io.NodeOutput(number)


class WhoAmI(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return _schema("WhoAmI", [], [io.String.Output("id")], hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls):
        return io.NodeOutput(f"{cls.hidden.unique_id} {cls.hidden.prompt}")


TOYS = (Number, Add, Seeded, Grey, Show, Save, Fails, Blocks, Spread, Total, Picky, Slow, WhoAmI)


@pytest.fixture
def toys():
    """The node classes by name."""
    return SimpleNamespace(**{cls.__name__: cls for cls in TOYS})


@pytest.fixture
def registry():
    return Registry(TOYS)


@pytest.fixture
def here(tmp_path):
    """Folders below the test's own, in force."""
    with folders.use(folders.headless(tmp_path / "out", (tmp_path / "in",), tmp_path / "models")) as chosen:
        yield chosen


class Canvas:
    """Draws UI workflows: nodes, then wires between them."""

    def __init__(self, objects=False, inputs=(), outputs=()):
        self.nodes, self.links, self._objects = [], [], objects
        self.inputs, self.outputs = [dict(x) for x in inputs], [dict(x) for x in outputs]
        self._ids = itertools.count(100)

    def node(self, node_id, kind, inputs=(), outputs=(), values=None, **fields):
        """``inputs`` are (name, type) or (name, type, True) for one that belongs to a widget."""
        slots = [
            {"name": name, "type": kind_, "link": None} | ({"widget": {"name": name}} if widget else {})
            for name, kind_, *widget in inputs
        ]
        made = [{"name": name, "type": kind_, "links": []} for name, kind_ in outputs]
        entry = {"id": node_id, "type": kind, "inputs": slots, "outputs": made, "mode": 0, **fields}
        self.nodes.append(entry if values is None else entry | {"widgets_values": values})
        return self

    def wire(self, origin, origin_slot, target, target_slot, kind="*"):
        link = next(self._ids)
        if target != -20:
            entry = next(node for node in self.nodes if node["id"] == target)
            entry["inputs"][target_slot]["link"] = link
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        values = [link, origin, origin_slot, target, target_slot, kind]
        self.links.append(dict(zip(keys, values, strict=True)) if self._objects else values)
        return self

    def mode(self, node_id, mode):
        next(node for node in self.nodes if node["id"] == node_id)["mode"] = mode
        return self

    def subgraph(self, key):
        return {
            "id": key,
            "name": f"part {key}",
            "inputs": self.inputs,
            "outputs": self.outputs,
            "nodes": self.nodes,
            "links": self.links,
        }

    def workflow(self, *subgraphs):
        return {"nodes": self.nodes, "links": self.links, "definitions": {"subgraphs": list(subgraphs)}, "version": 0.4}


@pytest.fixture
def canvas():
    return Canvas
