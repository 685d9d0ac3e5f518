"""Contract: ComfyUI's own schema and the stand-in say the same of a node. Needs an installed ComfyUI."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import asyncio, importlib, importlib.util, json, sys
comfy, root = sys.argv[1], sys.argv[2]
sys.path.insert(0, comfy)
sys.argv = sys.argv[:1]
from comfy.cli_args import args
args.cpu = True
import folder_paths
spec = importlib.util.spec_from_file_location("pack", f"{root}/__init__.py", submodule_search_locations=[root])
pack = importlib.util.module_from_spec(spec)
sys.modules["pack"] = pack
spec.loader.exec_module(pack)
schema = importlib.import_module("pack.host.schema")
standin = importlib.import_module("pack.host.schema.standin")
assert schema.io is not standin.io and schema.io.__name__.startswith("comfy_api"), schema.io

def probe(io):
    class Probe(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="Probe", display_name="Probe It", category="a/b", description="d", is_experimental=True,
                is_output_node=True, hidden=[io.Hidden.unique_id], search_aliases=["find me"], not_idempotent=True,
                inputs=[
                    io.Int.Input("seed", default=1, min=0, max=9, step=2, tooltip="t", advanced=True,
                                 control_after_generate=True, display_mode=io.NumberDisplay.slider),
                    io.Float.Input("f", default=0.5, min=0.0, max=1.0, step=0.1, round=0.01,
                                   display_mode=io.NumberDisplay.number),
                    io.String.Input("s", multiline=True, placeholder="p", dynamic_prompts=False, optional=True),
                    io.Boolean.Input("b", default=True, label_on="on", label_off="off"),
                    io.Combo.Input("c", ["x", "y"], default="y", display_name="C", upload=io.UploadType.image,
                                   image_folder=io.FolderType.input),
                    io.Int.Input("forced", force_input=True, lazy=True),
                    io.Image.Input("image", optional=True), io.Mask.Input("mask"), io.Latent.Input("latent"),
                    io.Conditioning.Input("cond"), io.Model.Input("model"), io.Clip.Input("clip"), io.Vae.Input("vae"),
                    io.ClipVision.Input("vision"),
                    io.Custom("CONCEPTS").Input("concepts", tooltip="c"), io.AnyType.Input("any"),
                    io.MultiType.Input("several", [io.Latent, io.Image], tooltip="either"),
                ],
                outputs=[io.Image.Output("a", tooltip="p"), io.Custom("CONCEPTS").Output(display_name="CONCEPTS"),
                         io.Int.Output(display_name="n", is_output_list=True)],
            )

        @classmethod
        def execute(cls, **kwargs):
            return io.NodeOutput()

    return Probe

own = probe(standin.io).GET_NODE_INFO_V1()
real = probe(schema.io).GET_NODE_INFO_V1()
json.dump({"own": own, "real": real}, sys.stdout)
"""

UNSAID = {"python_module", "price_badge", "output_matchtypes"}
"""What depends on where the pack lies, and what this pack has no use for."""


def comfy_python(comfy: Path) -> str:
    found = (comfy / name / "bin/python" for name in (".venv", "venv"))
    return os.environ.get("COMFYUI_PYTHON") or next((str(p) for p in found if p.exists()), sys.executable)


@pytest.fixture(scope="module")
def both():
    comfy = os.environ.get("COMFYUI_PATH")
    if not comfy:
        pytest.skip("set COMFYUI_PATH (and COMFYUI_PYTHON) to an installed ComfyUI to compare schemas with it")
    command = [comfy_python(Path(comfy)), "-c", SCRIPT, comfy, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index('{"own"') :])


def test_inputs_are_described_the_same_way(both):
    assert both["own"]["input"] == both["real"]["input"]


@pytest.mark.parametrize("key", ["output", "output_is_list", "output_tooltips", "name", "display_name", "category"])
def test_outputs_and_names_are_described_the_same_way(both, key):
    assert both["own"][key] == both["real"][key]


def test_everything_else_is_described_the_same_way(both):
    shared = both["own"].keys() & both["real"].keys() - {"input", "output_name"}
    assert {key: both["own"][key] for key in shared} == {key: both["real"][key] for key in shared}
    assert both["real"].keys() - both["own"].keys() <= UNSAID
