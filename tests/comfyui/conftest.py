"""The pack inside a real ComfyUI, in this very process.

Run with that ComfyUI's own Python, apart from the other tests (once ComfyUI is imported, the package takes the process
for it):

    COMFYUI_PATH=... $COMFYUI_PATH/.venv/bin/python -m pytest tests/comfyui

Everything here is skipped where ``COMFYUI_PATH`` is not set, and in any other Python than that of this ComfyUI:
``COMFYUI_PYTHON``, or one in an environment below its folder.
"""

import asyncio
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

COMFYUI = os.environ.get("COMFYUI_PATH")
ROOT = Path(__file__).resolve().parents[2]
MODELS = ("lab", "sd15", "sdxl")


@pytest.fixture(scope="session")
def comfy_base(tmp_path_factory) -> Path:
    """A scratch base directory, which models, input, output and user lie below."""
    base = tmp_path_factory.mktemp("comfy")
    for name in ("models/checkpoints", "models/embeddings", "models/loras", "custom_nodes", "input", "output", "user"):
        (base / name).mkdir(parents=True)
    return base


@pytest.fixture(scope="session")
def comfyui(comfy_base) -> ModuleType:
    """ComfyUI's ``nodes`` module, imported as its server imports it."""
    if not COMFYUI:
        pytest.skip("set COMFYUI_PATH to an installed ComfyUI, and run tests/comfyui with its Python")
    if not _is_its_python(COMFYUI):
        pytest.skip(f"{sys.executable} is not the Python of {COMFYUI}; name that in COMFYUI_PYTHON and use it")
    for name in _loaded_from(ROOT):  # by pytest, under the folder's name, which may be that of a module of ComfyUI
        del sys.modules[name]
    sys.path.insert(0, COMFYUI)
    argv, sys.argv = sys.argv, sys.argv[:1]
    try:
        from comfy.cli_args import args
    finally:
        sys.argv = argv
    args.cpu = not torch.cuda.is_available()
    args.base_directory = str(comfy_base)
    import folder_paths

    assert str(comfy_base) in folder_paths.get_output_directory()
    importlib.import_module("utils.install_util")  # before nodes, which would let comfy/utils.py shadow this package
    nodes, server = (importlib.import_module(name) for name in ("nodes", "server"))
    server.PromptServer(asyncio.new_event_loop())
    return nodes


@pytest.fixture(scope="session")
def pack(comfyui) -> Callable[[str], ModuleType]:
    """A module of the pack as ComfyUI loaded it: ``pack("core.types")``. Its classes are not those of an import."""
    folder = str(ROOT)
    assert asyncio.new_event_loop().run_until_complete(comfyui.load_custom_node(folder, module_parent="custom_nodes"))
    (loaded,) = _loaded_from(ROOT)
    return lambda name: importlib.import_module(f"{loaded}.{name}")


@pytest.fixture(scope="session")
def run(pack, comfyui) -> Callable[..., tuple[Any, ...]]:
    """Run a node of ours by its class name, as ComfyUI runs it: widgets that are not given keep their defaults."""

    def go(name: str, /, **given: Any) -> tuple[Any, ...]:
        node = getattr(pack("nodes"), name)
        schema = node.GET_SCHEMA()
        defaults = {entry.id: entry.as_dict()["default"] for entry in schema.inputs if "default" in entry.as_dict()}
        for entry in schema.inputs:
            options = entry.as_dict().get("options")
            if options and entry.id not in defaults:
                defaults[entry.id] = options[0]
        clone = node.PREPARE_CLASS_CLONE(None)
        with torch.inference_mode():
            return clone.execute(**(defaults | given)).result

    return go


@pytest.fixture(scope="session")
def stock(comfyui) -> Callable[..., tuple[Any, ...]]:
    """Run a node of ComfyUI's own by its class name."""

    def go(name: str, /, **given: Any) -> tuple[Any, ...]:
        node = comfyui.NODE_CLASS_MAPPINGS[name]
        with torch.inference_mode():
            return getattr(node(), node.FUNCTION)(**given)

    return go


@pytest.fixture(scope="session")
def build(comfyui) -> Callable[..., Any]:
    """Make a small model of a family at random weights: see :func:`small_models.build`."""

    def go(family: str, **settings: Any) -> Any:
        with torch.inference_mode():  # as the stock loader makes them
            return _beside("small_models").build(family, **settings)

    return go


@pytest.fixture(scope="session")
def parts_of(pack, run, build) -> Callable[[str], dict[str, Any]]:
    """MODEL, CLIP and VAE of ``lab``, ``sd15``, ``sd2`` or ``sdxl`` (small, random weights), by socket name."""
    made: dict[str, dict[str, Any]] = {}

    def go(family: str) -> dict[str, Any]:
        if family not in made:
            parts = run("LoadLabModel") if family == "lab" else build(family)
            made[family] = dict(zip(("model", "clip", "vae"), parts, strict=True))
        return dict(made[family])

    return go


@pytest.fixture(scope="session")
def small(comfyui) -> ModuleType:
    """The module ``small_transformers``: tiny transformers of ComfyUI's own classes."""
    return _beside("small_transformers")


@pytest.fixture(scope="session")
def model_of(small) -> Callable[[str], Any]:
    """A small transformer of a family, as MODEL; skips where this ComfyUI does not know it."""
    made: dict[str, Any] = {}

    def go(family: str) -> Any:
        if not small.here(family):
            pytest.skip(f"this ComfyUI has no {family}")
        if family not in made:
            with torch.inference_mode():
                made[family] = small.build(family)
        return made[family]

    return go


@pytest.fixture(scope="session")
def clip_of(small) -> Callable[[str], Any]:
    """A CLIP with the tokenizers of a transformer's family; skips where this ComfyUI does not know it."""
    made: dict[str, Any] = {}

    def go(family: str) -> Any:
        if not small.here(family):
            pytest.skip(f"this ComfyUI has no {family}")
        if family == small.DEV and not small.mistral_here():
            pytest.skip("this ComfyUI makes FLUX.2 dev's tokenizer by a class that newer transformers changed")
        if family not in made:
            made[family] = small.clip(family)
        return made[family]

    return go


@pytest.fixture(params=MODELS)
def family(request) -> str:
    return request.param


@pytest.fixture
def parts(parts_of, family) -> dict[str, Any]:
    """MODEL, CLIP and VAE of the test's family."""
    return parts_of(family)


@pytest.fixture(scope="session")
def draw(stock) -> Callable[..., torch.Tensor]:
    """A picture from a fixed seed with the stock nodes; what must stay bit-identical."""

    def go(
        parts: dict[str, Any], text: str = "a cat", size: tuple[int, int] = (64, 96), **changes: Any
    ) -> torch.Tensor:
        encoded = [stock("CLIPTextEncode", clip=parts["clip"], text=words)[0] for words in (text, "")]
        latent = {"samples": torch.zeros(1, 4, size[0] // 8, size[1] // 8)}
        settings = {"seed": 3, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
        drawn = stock(
            "KSampler",
            model=parts["model"],
            positive=encoded[0],
            negative=encoded[1],
            latent_image=latent,
            **(settings | changes),
        )[0]
        return stock("VAEDecode", vae=parts["vae"], samples=drawn)[0]

    return go


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    """IMAGE (1, 64, 96, 3): a red and a green square on blue."""
    picture = torch.zeros(1, 64, 96, 3)
    picture[..., 2] = 0.6
    picture[:, 8:40, 8:40] = torch.tensor([0.9, 0.1, 0.1])
    picture[:, 24:56, 56:88] = torch.tensor([0.1, 0.8, 0.2])
    return picture


@pytest.fixture(scope="session")
def masks() -> torch.Tensor:
    """MASK (2, 64, 96) of the two squares."""
    squares = torch.zeros(2, 64, 96)
    squares[0, 8:40, 8:40] = 1
    squares[1, 24:56, 56:88] = 1
    return squares


@pytest.fixture
def uninterrupted(comfyui) -> Iterator[None]:
    """Nobody has asked to stop, before and after."""
    import comfy.model_management as management

    management.interrupt_current_processing(False)
    yield
    management.interrupt_current_processing(False)


@pytest.fixture
def every_step(comfyui, monkeypatch) -> None:
    """Progress bars report every step, also steps that come quickly (since 0.19 they leave those out)."""
    import comfy.utils

    for name in ("PROGRESS_THROTTLE_MIN_INTERVAL", "PROGRESS_THROTTLE_MIN_PERCENT"):
        monkeypatch.setattr(comfy.utils, name, 0.0, raising=False)


@dataclass
class Bar:
    """What ComfyUI's progress bars were given, as its server hears it; cancels a run like its button.

    Attributes:
        steps: steps done and of how many, in order.
        cancel_at: from which step on to cancel, never if None. Newer bars leave out steps that come quickly.
        cancel_total: only in bars of that length.
    """

    steps: list[tuple[int, int]] = field(default_factory=list)
    cancel_at: int | None = None
    cancel_total: int | None = None

    def on_progress(self, done: int, total: int, *_: Any, **__: Any) -> None:
        import comfy.model_management as management

        self.steps.append((done, total))
        if self.cancel_at is not None and done >= self.cancel_at and self.cancel_total in (None, total):
            management.interrupt_current_processing(True)
        management.throw_exception_if_processing_interrupted()  # as the server's own hook does


@pytest.fixture
def bar(uninterrupted) -> Iterator[Bar]:
    """Listens to every progress bar while the test runs."""
    import comfy.utils

    watching = Bar()
    comfy.utils.set_progress_bar_global_hook(watching.on_progress)
    yield watching
    comfy.utils.set_progress_bar_global_hook(None)


def _is_its_python(path: str) -> bool:
    """Only that ComfyUI's environment has the packages it needs, and no other test may share a process with it."""
    named = os.environ.get("COMFYUI_PYTHON")
    here = Path(sys.prefix).resolve()
    return here == Path(named).parents[1].resolve() if named else here.is_relative_to(Path(path).resolve())


def _loaded_from(folder: Path) -> list[str]:
    return [name for name, module in sys.modules.items() if _file_of(module) == str(folder / "__init__.py")]


def _file_of(module: Any) -> str:
    return str(Path(getattr(module, "__file__", None) or "").resolve()) if getattr(module, "__file__", None) else ""


def _beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Imports this package by its name, which ComfyUI's environment does not know.
collect_ignore = ["compose/test_layout.py"] if COMFYUI and _is_its_python(COMFYUI) else []


VISION = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_channels": 3,
    "image_size": 56,
    "patch_size": 14,
    "projection_dim": 24,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


@pytest.fixture(scope="session")
def vision_of(comfyui, tmp_path_factory):
    """A picture encoder of a configuration at random weights, as CLIPVisionLoader would give it."""
    import comfy.clip_vision

    def make(config):
        path = tmp_path_factory.mktemp("vision") / "config.json"
        path.write_text(json.dumps(config))
        vision = comfy.clip_vision.ClipVisionModel(str(path))
        generator = torch.Generator().manual_seed(0)
        with torch.inference_mode():
            state = {
                key: torch.randn(value.shape, generator=generator).to(value.dtype) / max(1, value[0].numel()) ** 0.5
                if value.is_floating_point() and value.ndim > 1
                else torch.ones_like(value)
                if ("norm" in key and key.endswith("weight")) or "lambda" in key
                else value
                if not value.is_floating_point()
                else torch.zeros_like(value)
                for key, value in vision.get_sd().items()
            }
            vision.model.load_state_dict(state)
        return vision

    return make


@pytest.fixture(scope="session")
def stock_vision(vision_of):
    """A small CLIP vision model at random weights, as CLIPVisionLoader would give it."""
    return vision_of(VISION)
