"""Values that stand in a node of their own."""

import sys
from typing import Any

from ...schema.standin import io


class PrimitiveInt(io.ComfyNode):
    """A whole number."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        number = io.Int.Input("value", min=-sys.maxsize, max=sys.maxsize, control_after_generate=True)
        return _schema("PrimitiveInt", "Int", number, io.Int.Output())

    @classmethod
    def execute(cls, value: int) -> io.NodeOutput:
        return io.NodeOutput(value)


class PrimitiveFloat(io.ComfyNode):
    """A number."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        number = io.Float.Input("value", min=-sys.maxsize, max=sys.maxsize, step=0.1)
        return _schema("PrimitiveFloat", "Float", number, io.Float.Output())

    @classmethod
    def execute(cls, value: float) -> io.NodeOutput:
        return io.NodeOutput(value)


class PrimitiveBoolean(io.ComfyNode):
    """Yes or no."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema("PrimitiveBoolean", "Boolean", io.Boolean.Input("value"), io.Boolean.Output())

    @classmethod
    def execute(cls, value: bool) -> io.NodeOutput:
        return io.NodeOutput(value)


class PrimitiveString(io.ComfyNode):
    """A text of one line."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return _schema("PrimitiveString", "Text", io.String.Input("value"), io.String.Output())

    @classmethod
    def execute(cls, value: str) -> io.NodeOutput:
        return io.NodeOutput(value)


class PrimitiveStringMultiline(io.ComfyNode):
    """A text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        text = io.String.Input("value", multiline=True)
        return _schema("PrimitiveStringMultiline", "Text (Multiline)", text, io.String.Output())

    @classmethod
    def execute(cls, value: str) -> io.NodeOutput:
        return io.NodeOutput(value)


def _schema(node_id: str, name: str, entry: io.Input, output: Any) -> io.Schema:
    category = "utilities/primitive"
    return io.Schema(node_id=node_id, display_name=name, category=category, inputs=[entry], outputs=[output])
