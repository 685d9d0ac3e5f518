"""What the code uses of ComfyUI's inside is listed, and what is listed reads well."""

import ast
from pathlib import Path

import pytest

from concept_atelier.host.comfy.internals import Internal
from concept_atelier.host.comfy.items import ITEMS, VERSIONS_RUN
from concept_atelier.nodes import NODES

ROOT = Path(__file__).resolve().parents[4]
SOURCES = [
    *ROOT.glob("core/**/*.py"),
    *ROOT.glob("host/**/*.py"),
    *ROOT.glob("nodes/**/*.py"),
    *ROOT.glob("lab/model/*.py"),
]
TOUCH = ("host/comfy", "host/shared/progress.py", "lab/model/comfy_native.py")
"""Files whose path begins so may use ComfyUI's modules."""


def uses_of(source: Path) -> set[str]:
    """Dotted names below ``comfy`` that a file uses."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    bound: dict[str, str] = {}
    for found in ast.walk(tree):
        if isinstance(found, ast.Import):
            for one in found.names:
                if one.name.split(".")[0] == "comfy":
                    bound[one.asname or "comfy"] = one.name if one.asname else "comfy"
        elif isinstance(found, ast.ImportFrom) and not found.level and (found.module or "").split(".")[0] == "comfy":
            bound |= {one.asname or one.name: f"{found.module}.{one.name}" for one in found.names}
    chains = {chain for found in ast.walk(tree) if (chain := dotted(found, bound))}
    return {chain for chain in chains if not any(other.startswith(f"{chain}.") for other in chains)}


def dotted(found: ast.AST, bound: dict[str, str]) -> str | None:
    if isinstance(found, ast.Name):
        return bound.get(found.id)
    if isinstance(found, ast.Attribute):
        inside = dotted(found.value, bound)
        return inside and f"{inside}.{found.attr}"
    return None


USED = {source.relative_to(ROOT).as_posix(): used for source in SOURCES if (used := uses_of(source))}


def test_the_scan_sees_imports_of_every_form():
    assert "comfy.lora.load_lora" in USED["host/comfy/weights.py"]
    assert "comfy.ldm.modules.attention.attention_pytorch" in USED["host/comfy/gradients.py"]
    assert "comfy.sd1_clip.SDTokenizer" in USED["lab/model/comfy_native.py"]
    assert "comfy.patcher_extension.WrappersMP.OUTER_SAMPLE" in USED["host/comfy/attention/capture.py"]


@pytest.mark.parametrize("source", USED)
def test_everything_that_is_used_is_listed(source):
    assert source.startswith(TOUCH), "use of ComfyUI's modules belongs to host/comfy"
    listed = [item.path for item in ITEMS]
    missing = [path for path in USED[source] if not any(one == path or one.startswith(f"{path}.") for one in listed)]
    assert missing == [], "add them to a file of host/comfy/items"


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.path)
def test_items_name_nodes_and_read_as_a_sentence(item: Internal):
    assert item.nodes and set(item.nodes) <= {node.__name__ for node in NODES}
    assert len(set(item.nodes)) == len(item.nodes)
    assert item.purpose[0].islower() or item.purpose.startswith("Stable Diffusion"), "it follows 'through which'"
    assert not item.purpose.endswith(".")


def test_the_versions_that_were_run_are_in_order():
    assert list(VERSIONS_RUN) == sorted(VERSIONS_RUN, key=lambda one: [int(part) for part in one.split(".")])
