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
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch


def _beside(name: str) -> ModuleType:
    """A module or package of this folder, which is no package itself."""
    folder = Path(__file__).with_name(name)
    path, inner = (folder / "__init__.py", [str(folder)]) if folder.is_dir() else (folder.with_suffix(".py"), None)
    spec = importlib.util.spec_from_file_location(f"beside_{name}", path, submodule_search_locations=inner)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # a package looks there for its own files
    spec.loader.exec_module(module)
    return module


sampling, progress_bars, vision_models = (_beside(name) for name in ("sampling", "progress_bars", "vision_models"))
draw, encode = sampling.draw, sampling.encode
sample, sample_transformer = sampling.sample, sampling.sample_transformer
bar, every_step, uninterrupted = progress_bars.bar, progress_bars.every_step, progress_bars.uninterrupted
stock_vision, vision_of = vision_models.stock_vision, vision_models.vision_of

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


@pytest.fixture(scope="session")
def backbone_of(pack) -> Callable[..., Any]:
    """A Backbone over MODEL, CLIP and VAE."""
    return pack("host.adapters").backbone_of


@pytest.fixture
def backbone_for(backbone_of, parts_of) -> Iterator[Callable[..., Any]]:
    """A Backbone over the parts of a family, closed when the test is over."""
    made: list[Any] = []

    def go(family: str, **parts: Any) -> Any:
        made.append(backbone_of(**(parts_of(family) | parts)))
        return made[-1]

    yield go
    for backbone in made:
        backbone.close()


@pytest.fixture
def key_value_weights(pack) -> Callable[[Any], dict[str, torch.Tensor]]:
    """The weights in force where text enters a MODEL, by diffusers' names, float64."""

    def go(model: Any) -> dict[str, torch.Tensor]:
        with torch.inference_mode():
            found = pack("host.comfy.weights").key_value_weights(model)
        return {weight.name: weight.weight.double() for weight in found}

    return go


@pytest.fixture(params=MODELS)
def family(request) -> str:
    return request.param


@pytest.fixture
def parts(parts_of, family) -> dict[str, Any]:
    """MODEL, CLIP and VAE of the test's family."""
    return parts_of(family)


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
def concepts(run, parts, image, masks) -> Any:
    """CONCEPTS of the two squares."""
    return run("ConceptsFromMasks", **parts, image=image, masks=masks, names="red, green")[0]


@pytest.fixture(scope="session")
def pictures(image) -> torch.Tensor:
    """IMAGE (4, 64, 96, 3): the picture, and three that were moved."""
    return torch.cat([image.roll(8 * number, 2) for number in range(4)])


@pytest.fixture(scope="session")
def far() -> Callable[[torch.Tensor, torch.Tensor], float]:
    """The largest difference, relative to the largest value of the second."""
    return lambda one, other: float((one - other).abs().max() / other.abs().max())


def _is_its_python(path: str) -> bool:
    """Only that ComfyUI's environment has the packages it needs, and no other test may share a process with it."""
    named = os.environ.get("COMFYUI_PYTHON")
    here = Path(sys.prefix).resolve()
    return here == Path(named).parents[1].resolve() if named else here.is_relative_to(Path(path).resolve())


def _loaded_from(folder: Path) -> list[str]:
    return [name for name, module in sys.modules.items() if _file_of(module) == str(folder / "__init__.py")]


def _file_of(module: Any) -> str:
    return str(Path(getattr(module, "__file__", None) or "").resolve()) if getattr(module, "__file__", None) else ""


# Imports this package by its name, which ComfyUI's environment does not know.
collect_ignore = ["compose/test_layout.py"] if COMFYUI and _is_its_python(COMFYUI) else []
