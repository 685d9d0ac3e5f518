"""Write ``docs/comfyui-internals.md`` from the list of what the pack depends on inside ComfyUI (developers).

python -m concept_atelier.tools.build_internals
"""

from collections.abc import Iterator
from pathlib import Path

from ..host.comfy.internals import Internal
from ..host.comfy.items import ITEMS, VERSIONS_RUN
from ..host.comfy.refusals import joined_with_and
from ..nodes import NODES

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "comfyui-internals.md"

_TEXT = """# What the pack depends on inside ComfyUI

Nodes are written against ComfyUI's public interface (`comfy_api.latest`, `folder_paths`, the web page's extensions).
To work with a MODEL, CLIP and VAE they also need the modules `comfy.*`, which ComfyUI may change at any time. The
folder `host/comfy/items` lists everything there that the pack calls, replaces or reads, and this page is written from
it (`python -m concept_atelier.tools.build_internals`). All of the pack's tests were run on ComfyUI {versions}.

**When the pack loads**, it checks each item: whether it exists, whether it can be called as the pack calls it, and
whether its code still contains the names that the pack relies on. The check takes a few milliseconds and imports
nothing. If an item has changed, the pack writes one sentence to ComfyUI's log: which nodes will not work on this
version, and why. Those nodes refuse a workflow with the same sentence before anything in it is computed; all others
work.

**The check cannot see** a method that is called as before and returns something else: since 0.28
`SDTokenizer._try_get_embedding` returns three values instead of two. Code that depends on one of the items therefore
uses as little as possible of what comes back, and the tests run on each version.

## A new version of ComfyUI

1. Start it with the pack, and read the log.
2. `COMFYUI_PATH=... $COMFYUI_PATH/.venv/bin/python -m pytest tests/comfyui`; `tests/comfyui/test_internals.py` alone
   takes seconds and checks every item.
3. `make test-comfyui COMFYUI_PATH=...` for HTTP and the page.
4. Add the version to `VERSIONS_RUN` in `host/comfy/items/__init__.py`, and write this page again.

`comfy-import-guard` 1.3.0 (a Python package) compares a pack's imports and calls of `comfy.*` with a checkout. It finds
nothing here on {versions}. It also found nothing in the state of the pack that failed on 0.28, because it checks
parameters and not return values, and because the pack puts its method on an object and not on the class.

## Read in newer sources, not run

- 0.34 to 0.38, `comfy/ldm/modules/attention.py`: `CrossAttention` hands queries, keys and values over in containers,
  and names the attention that its checkpoint asks for (`preferred_attention`), which ComfyUI leaves out where an
  `optimized_attention_override` is set. The pack's override gets tensors, unless the override that it was put around
  takes containers; then it passes them on. Where there is no other override it computes with the layer's preferred
  attention, so that a captured picture stays what it was (`host/comfy/attention/taps.py`).
- 0.33 and later, MultiGPU CFG Split: several devices compute one step at the same time. Capture Attention does not
  listen to such steps and says so.

## What changes a picture

A picture stays bit-identical while Capture Attention records, also behind the stock nodes that change a MODEL (FreeU,
HyperTile, ToMe, PAG, SAG, EasyCache and others: more than 60 were tried on 0.33.0 with the lab model). The exception is
TorchCompileModel: it compiles another graph while attention is recorded, so that the last digits differ.

## The items
"""


def document() -> str:
    """The page."""
    return "\n".join([_TEXT.format(versions=joined_with_and(VERSIONS_RUN)), *_sections()])


def main() -> None:
    DOCUMENT.write_text(document(), encoding="utf-8")


def _sections() -> Iterator[str]:
    """A table for each set of nodes, the widest first."""
    named = {node.__name__: str(node.define_schema().display_name) for node in NODES}
    for nodes in sorted({item.nodes for item in ITEMS}, key=lambda one: (-len(one), one)):
        yield f"### {joined_with_and([named[name] for name in nodes])}\n"
        yield "| what | called as, uses | by which |\n|---|---|---|"
        yield from (f"| `{one.path}` | {_expected(one)} | {one.purpose} |" for one in ITEMS if one.nodes == nodes)
        yield ""


def _expected(item: Internal) -> str:
    parts = [] if item.called is None else [f"`({item.called})`"]
    return "; ".join([*parts, *([", ".join(f"`{name}`" for name in item.uses)] if item.uses else [])])


if __name__ == "__main__":
    main()
