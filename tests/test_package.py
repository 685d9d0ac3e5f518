"""The package as ComfyUI and as others import it."""

import asyncio
import gc
import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

HEAVY = ("torch", "diffusers", "transformers", "comfy", "concept_atelier.host", "concept_atelier.nodes")


def modules_after(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert modules_after("import concept_atelier").isdisjoint(HEAVY)


def test_the_nodes_do_not_import_diffusers_or_transformers():
    loaded = modules_after("import concept_atelier.nodes.headless, concept_atelier.host.workflow.registry")
    assert loaded.isdisjoint({"diffusers", "transformers", "matplotlib", "scipy"})


def test_the_root_can_be_loaded_without_a_parent():
    spec = importlib.util.spec_from_file_location("anything at all", ROOT / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.WEB_DIRECTORY == "./web"
    assert (ROOT / "web").is_dir()
    assert not hasattr(module, "NODE_CLASS_MAPPINGS"), "ComfyUI would not look at comfy_entrypoint any more"


def test_the_entry_point_lists_the_nodes():
    package = importlib.import_module("concept_atelier")
    nodes = importlib.import_module("concept_atelier.nodes")
    extension = asyncio.run(package.comfy_entrypoint())
    assert asyncio.run(extension.get_node_list()) == list(nodes.NODES)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_entry_point_leaves_garbage_collection_as_it_was(enabled):
    package, before = importlib.import_module("concept_atelier"), gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        asyncio.run(package.comfy_entrypoint())
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
