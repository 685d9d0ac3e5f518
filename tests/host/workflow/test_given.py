"""What a node is given is checked by its sockets, by the node's name, before it works."""

from types import SimpleNamespace

import pytest
import torch

from concept_atelier.core.types import ConceptTokens
from concept_atelier.host.schema import io
from concept_atelier.host.shared.handles import ClipHandle
from concept_atelier.host.workflow.given import _OWN, _SOCKETS, check_given, checked
from concept_atelier.host.workflow.values import BadValueError
from concept_atelier.host.workflow.widgets import WIDGET_TYPES
from concept_atelier.nodes import NODES

CUSTOM = io.Custom("CONCEPT_TOKENS")


def schema():
    inputs = [
        io.Image.Input("image", optional=True),
        io.Mask.Input("mask", optional=True),
        io.Latent.Input("samples", optional=True),
        io.Conditioning.Input("positive", optional=True),
        io.Model.Input("model", optional=True),
        io.Clip.Input("clip", optional=True),
        io.Vae.Input("vae", optional=True),
        CUSTOM.Input("tokens", optional=True),
        io.Int.Input("count", default=1, min=0, max=50),
        io.Float.Input("strength", default=1.0, min=-4.0, max=4.0),
        io.Combo.Input("mode", options=["soft", "hard"]),
        io.String.Input("text", default=""),
        io.AnyType.Input("anything", optional=True),
    ]
    return io.Schema(node_id="Sketch", display_name="Sketch It", category="test", inputs=inputs)


IMAGE, LATENT = torch.rand(2, 8, 8, 3), {"samples": torch.rand(2, 4, 8, 8)}
CONTEXT = torch.rand(1, 77, 8)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("image", IMAGE[:0], "got float32 (0, 8, 8, 3)"),
        ("image", IMAGE[None], "got float32 (1, 2, 8, 8, 3)"),
        ("image", IMAGE[..., :2], "got float32 (2, 8, 8, 2)"),
        ("image", (IMAGE * 255).byte(), "got uint8 (2, 8, 8, 3)"),
        ("image", LATENT, "got a dict"),
        ("mask", torch.rand(1, 2, 8, 8), "got float32 (1, 2, 8, 8)"),
        ("mask", torch.rand(0, 8, 8), "at least one mask"),
        ("samples", {"samples": torch.rand(1, 16, 3, 8, 8)}, "(1, 16, 3, 8, 8), the latent of a video"),
        ("samples", {"samples": torch.rand(0, 4, 8, 8)}, "at least one picture"),
        ("samples", {}, "samples that are nothing"),
        ("samples", IMAGE, "got float32 (2, 8, 8, 3)"),
        ("positive", [], "got an empty one"),
        ("positive", [[CONTEXT]], "an entry that is a list"),
        ("positive", [[CONTEXT[0], {}]], "got float32 (77, 8)"),
        ("positive", [[CONTEXT * torch.nan, {}]], "values that are not finite"),
        ("model", "x", "expected MODEL, from a loader of checkpoints or Load Lab Model, got 'x'"),
        ("model", ClipHandle({}, "lab"), "got a ClipHandle"),
        ("clip", IMAGE, "expected CLIP, from a loader of checkpoints or Load Lab Model, got float32 (2, 8, 8, 3)"),
        ("vae", [[CONTEXT, {}]], "got a list"),
        ("positive", CONTEXT, "got float32 (1, 77, 8)"),
        ("tokens", IMAGE, "expected CONCEPT_TOKENS, from Learn or Load Concept Tokens, got float32"),
        ("tokens", "x" * 10**6, "xxx"),
        ("count", -1, "expected at least 0, got -1"),
        ("count", 10**400, "expected at most 50, got a whole number of about 400 digits"),
        ("count", 1.5, "expected a whole number"),
        ("count", None, "expected a whole number"),
        ("strength", float("nan"), "expected a number"),
        ("strength", 1e308, "expected at most 4.0"),
        ("mode", "loud", "expected one of soft, hard, got 'loud'"),
        ("text", "\ud800", "half of a character"),
        ("text", ["a"], "expected a text"),
    ],
)
def test_what_does_not_fit_is_refused_by_node_and_input(name, value, said):
    with pytest.raises(BadValueError) as caught:
        check_given(schema(), {name: value})
    text = str(caught.value)
    assert text.startswith(f'Sketch It, input "{name}": ') and said in text and len(text) < 300 and text.isprintable()


def test_what_fits_passes_as_it_is_or_in_its_type():
    tokens = ConceptTokens({}, "lab")
    given = {"image": IMAGE, "mask": IMAGE[..., 0], "samples": LATENT, "positive": [[CONTEXT, {}]], "tokens": tokens}
    given |= {
        "clip": ClipHandle({}, "lab"),
        "model": object(),
    }  # what an object of another pack can do, a backbone finds out
    assert all(check_given(schema(), given)[name] is value for name, value in given.items())
    frame = {"samples": torch.rand(1, 16, 1, 8, 8)}  # a picture, as Qwen-Image and its like keep it
    assert check_given(schema(), {"samples": frame})["samples"] is frame
    rest = {"anything": object(), "mask": torch.rand(8, 8), "unknown": 1}
    assert check_given(schema(), rest) == rest
    found = check_given(schema(), {"count": "7", "strength": 2, "text": 5})
    assert found == {"count": 7, "strength": 2.0, "text": "5"}


def test_a_checked_node_runs_as_before_and_refuses_before_it_works():
    class Sketch(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return schema()

        @classmethod
        def execute(cls, count, text="none"):
            """Its own words."""
            return io.NodeOutput(cls.__name__, count, text)

    node = checked(Sketch)
    assert node is Sketch and node.execute.__doc__ == "Its own words."
    assert node.PREPARE_CLASS_CLONE({}).execute(count="3").args == ("Sketch", 3, "none")
    with pytest.raises(BadValueError, match='Sketch It, input "count": expected at least 0'):
        node.execute(count=-3)


def test_an_optional_input_that_is_given_nothing_is_left_to_the_nodes_default():
    assert check_given(schema(), {"image": None, "tokens": None, "count": 2}) == {"count": 2}


def test_choices_that_a_node_checks_itself_are_left_to_it():
    @checked
    class Chooses(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            inputs = [io.Combo.Input("name", options=["a"]), io.Combo.Input("other", options=["a"])]
            return io.Schema(node_id="Chooses", inputs=inputs)

        @classmethod
        def execute(cls, name, other):
            return name, other

        @classmethod
        def validate_inputs(cls, name):
            return True

    assert Chooses.execute(name="sub/b [input]", other="a") == ("sub/b [input]", "a")
    with pytest.raises(BadValueError, match="other"):
        Chooses.execute(name="a", other="b")


def test_every_socket_that_a_node_of_ours_reads_is_checked():
    types = {entry.get_io_type() for node in NODES for entry in node.GET_SCHEMA().inputs}
    by_the_node = {"BOUNDING_BOX", "*"}
    assert len(types) > 15 and types - {*WIDGET_TYPES} - by_the_node - {*_SOCKETS} == set()


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.GET_SCHEMA().display_name)
def test_what_is_no_value_of_a_socket_of_ours_is_refused_by_name(node):
    schema = node.GET_SCHEMA()
    for entry in schema.inputs:
        if entry.get_io_type() in _OWN:
            with pytest.raises(BadValueError, match=f'input "{entry.id}": expected {entry.get_io_type()}, from'):
                check_given(SimpleNamespace(display_name="x", inputs=[entry]), {entry.id: {}})
