"""The page of what the pack depends on inside ComfyUI is that of the list."""

from concept_atelier.host.comfy.items import ITEMS
from concept_atelier.tools import build_internals


def test_the_page_is_written_anew_after_every_change():
    assert build_internals.DOCUMENT.read_text(encoding="utf-8") == build_internals.document()


def test_every_item_is_on_the_page():
    page = build_internals.document()
    assert all(f"| `{item.path}` |" in page for item in ITEMS)
    assert page.count("\n| `") == len(ITEMS)
