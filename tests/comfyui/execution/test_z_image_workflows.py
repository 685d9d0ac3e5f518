"""The workflows for Z-Image through ComfyUI's own executor, on a Z-Image of ComfyUI's own classes at tiny width."""

import importlib
from pathlib import Path

import pytest
import torch
from PIL import Image

WORKFLOWS = Path(__file__).parents[3] / "workflows"
NAMES = ("See where words land", "Take a picture apart", "Erase a concept", "Train an erasure")
EXTRAS = ("nodes_sd3", "nodes_model_advanced", "nodes_primitive")
"""Modules of ComfyUI's own nodes that the server loads beside ``nodes.py``."""

SMALLER = {
    "width": 128,
    "height": 128,
    ("KSampler", "steps"): 2,
    ("ConceptAtelierTrainErasure", "steps"): 2,
    ("ConceptAtelierTrainErasure", "settings"): "layers=text, retain=1, guidance=1, sampling_steps=2",
    ("ConceptAtelierLearnConceptTokens", "steps"): 2,
}
"""Values of inputs, of a node or of every node, in place of those of the files, which take minutes."""


@pytest.fixture(scope="module")
def z_image(comfyui, small, comfy_base):
    """MODEL, CLIP and VAE."""
    if not small.here("z_image"):
        pytest.skip("this ComfyUI has no z_image")
    with torch.inference_mode():
        return {
            "UNETLoader": small.build("z_image", **small.LEARNING["z_image"][1]),
            "CLIPLoader": small.reading_clip("z_image", [str(comfy_base / "models/embeddings")]),
            "VAELoader": small.vae(small.SMALL["z_image"].channels),
        }


@pytest.fixture
def with_parts(comfyui, z_image, monkeypatch):
    """ComfyUI with these parts behind its loaders, whatever file they name."""
    for module in EXTRAS:
        imported = importlib.import_module(f"comfy_extras.{module}")
        for name, node in _nodes_of(imported).items():
            monkeypatch.setitem(comfyui.NODE_CLASS_MAPPINGS, name, node)
    for loader, part in z_image.items():
        stock = comfyui.NODE_CLASS_MAPPINGS[loader]
        monkeypatch.setitem(comfyui.NODE_CLASS_MAPPINGS, loader, _giving(part, stock))


def _nodes_of(module):
    """The node classes of a module of ``comfy_extras`` by name, in the old form or the new one."""
    if hasattr(module, "NODE_CLASS_MAPPINGS"):
        return module.NODE_CLASS_MAPPINGS
    import asyncio

    extension = asyncio.run(module.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


def _giving(part, stock):
    """A loader that takes the stock loader's inputs, any text for its files, and gives a part."""
    names = {name: ("STRING", {}) for name in stock.INPUT_TYPES()["required"]}

    class Gives:
        RETURN_TYPES, FUNCTION, CATEGORY = stock.RETURN_TYPES, "give", "test"

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": names, "optional": {"device": ("STRING", {})}}

        def give(self, **named):
            return (part,)

    return Gives


@pytest.mark.parametrize("name", NAMES)
def test_a_workflow_for_z_image_runs(name, pack, executor, with_parts, comfy_base):
    registry = pack("tools.workflow.foreign").drawing_registry()
    graph = pack("host.workflow.reading").load_workflow(WORKFLOWS / f"{name} (Z-Image).json").graph(registry)
    prompt = pack("host.workflow.graph").to_api(graph)
    for node in prompt.values():
        for key in node["inputs"]:
            for wanted in (key, (node["class_type"], key)):
                if wanted in SMALLER:
                    node["inputs"][key] = SMALLER[wanted]
    picture = Image.effect_noise((96, 96), 80).convert("RGB")
    picture.paste((200, 30, 30), (10, 10, 45, 45))
    picture.save(comfy_base / "input" / "example.png")  # which ComfyUI ships
    before = set(comfy_base.rglob("*"))
    executor().run(prompt)
    written = {path.name.split("_0")[0] for path in set(comfy_base.rglob("*")) - before if path.suffix == ".png"}
    saved = {node["inputs"]["filename_prefix"] for node in prompt.values() if node["class_type"] == "SaveImage"}
    assert saved <= written
