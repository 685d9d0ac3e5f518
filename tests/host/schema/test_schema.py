"""The schema: what the stand-in says of a node."""

import pytest
import torch

from concept_atelier.host.schema import io, ui


def test_misspelt_fields_are_errors():
    with pytest.raises(TypeError, match="descripton"):
        io.Schema(node_id="A", descripton="x")
    with pytest.raises(TypeError, match="tooltp"):
        io.Int.Input("n", tooltp="x")


class Probe(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Probe",
            display_name="Probe It",
            category="a/b",
            description="d",
            inputs=[
                io.Int.Input("n", default=1, min=0, max=9, tooltip="t", control_after_generate=True),
                io.Combo.Input("c", ["x", "y"], default="y", optional=True),
                io.Custom("CONCEPTS").Input("concepts"),
            ],
            outputs=[io.Image.Output("picture", tooltip="p"), io.Mask.Output(is_output_list=True)],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, n, concepts, c="y"):
        return io.NodeOutput()


def test_node_information():
    info = Probe.GET_NODE_INFO_V1()
    assert info["input"]["required"] == {
        "n": ("INT", {"tooltip": "t", "default": 1, "min": 0, "max": 9, "control_after_generate": True}),
        "concepts": ("CONCEPTS", {}),
    }
    assert info["input"]["optional"] == {
        "c": ("COMBO", {"default": "y", "multiselect": False, "options": ["x", "y"]}),
    }
    assert list(info["input"]["hidden"]) == ["unique_id", "prompt", "extra_pnginfo"]
    assert info["input_order"]["required"] == ["n", "concepts"]
    assert info["output"] == ["IMAGE", "MASK"]
    assert info["output_name"] == ["picture", "MASK"]
    assert info["output_is_list"] == [False, True]
    assert (info["name"], info["display_name"], info["output_node"]) == ("Probe", "Probe It", True)


def test_ids_must_be_unique():
    with pytest.raises(ValueError, match="n occurs twice"):
        io.Schema("A", inputs=[io.Int.Input("n"), io.Int.Input("n")]).validate()
    with pytest.raises(ValueError, match="Output ids"):
        io.Schema("A", outputs=[io.Int.Output("n"), io.Int.Output("n")]).validate()


def test_unnamed_outputs_get_names_of_their_own():
    made = io.Schema("A", outputs=[io.Int.Output(), io.Int.Output()])
    made.finalize()
    made.validate()
    assert [o.id for o in made.outputs] == ["_0_INT_", "_1_INT_"]


def test_schemas_do_not_share_lists():
    first, second = io.Schema("A", is_output_node=True), io.Schema("B")
    first.finalize()
    assert second.hidden == []


def test_the_class_that_runs_is_locked_and_the_node_stays_as_it_was():
    clone = Probe.PREPARE_CLASS_CLONE({io.Hidden.unique_id: "5"})
    assert (clone.hidden.unique_id, clone.hidden.prompt) == ("5", None)
    assert issubclass(clone, Probe)
    with pytest.raises(AttributeError, match="nodes keep no state"):
        clone.memory = 1
    assert Probe.hidden.unique_id is None


def test_several_types_in_one_socket():
    assert io.MultiType.Input("x", [io.Latent, io.Image, io.Latent]).get_io_type() == "LATENT,IMAGE"


def test_an_unfinished_node_says_what_it_lacks():
    class Empty(io.ComfyNode):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not define define_schema"):
        Empty.GET_SCHEMA()


def test_previews_are_written_where_previews_go(here):
    shown = ui.PreviewImage(torch.rand(2, 4, 6, 3), cls=Probe).as_dict()
    names = [entry["filename"] for entry in shown["images"]]
    assert names == ["Probe_00001_.png", "Probe_00002_.png"]
    assert all((here.temp / name).is_file() for name in names)
    assert {entry["type"] for entry in shown["images"]} == {"temp"}
    mask = ui.PreviewMask(torch.rand(4, 6)).as_dict()
    assert mask["images"][0]["filename"] == "preview_00001_.png"


def test_texts_and_saved_pictures(here):
    assert ui.PreviewText("hello").as_dict() == {"text": ("hello",)}
    saved = ui.ImageSaveHelper.get_save_images_ui(torch.rand(1, 4, 6, 3), filename_prefix="sub/x", cls=None).as_dict()
    assert saved == {"images": [{"filename": "x_00001_.png", "subfolder": "sub", "type": "output"}]}
    assert (here.output / "sub/x_00001_.png").is_file()


def test_results_of_nodes():
    output = io.NodeOutput(1, 2, ui={"text": ["x"]})
    assert (output.result, output[1], output.block_execution) == ((1, 2), 2, None)
    assert io.NodeOutput().result is None
