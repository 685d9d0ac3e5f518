"""Edit Concepts in ComfyUI's page: regions are clicked, the node's inputs change, and a run does what they say.

The same inputs sent over the API give the same masks, so that a workflow needs no page.
"""

import numpy as np


def test_a_click_drops_a_region_and_the_api_does_the_same(editor, over_api, page, shots, version):
    assert editor.hints() == ""
    before = editor.colour("green")
    editor.click("green")
    assert editor.texts() == {"keep": "", "drop": "green", "merge": "", "rename": ""}
    page.shoot(shots / f"{version}_edit_dropped.png")
    assert np.abs(editor.colour("green") - before).max() > 40
    history = editor.run()
    assert editor.covered(history) == [{"red"}, {"blue"}]
    assert "green" not in editor.said(history)
    sent = over_api(drop="green")
    assert np.array_equal(editor.masks(sent), editor.masks(history))
    editor.click("green")
    assert editor.texts() == {"keep": "", "drop": "", "merge": "", "rename": ""}
    assert not page.errors()


def test_regions_are_merged_and_renamed(editor, over_api, page, shots, version):
    assert not editor.enabled("merge") and not editor.enabled("split")
    editor.click("blue", shift=True)
    editor.click("red", shift=True)
    page.shoot(shots / f"{version}_edit_selected.png")
    editor.press("merge")
    assert editor.texts()["merge"] == "blue+red" and not editor.enabled("merge")
    editor.rename("red", "thing")
    assert editor.texts() == {"keep": "", "drop": "", "merge": "blue+red", "rename": "blue=thing"}
    assert "<thing>" in editor.says()
    page.shoot(shots / f"{version}_edit_merged.png")
    history = editor.run()
    assert editor.covered(history) == [{"green"}, {"red", "blue"}]
    sent = over_api(merge="blue+red", rename="blue=thing")
    assert np.array_equal(editor.masks(sent), editor.masks(history))
    assert editor.said(sent) == editor.said(history)
    editor.click("red", shift=True)
    editor.press("split")
    assert editor.texts()["merge"] == ""
    editor.press("reset")
    assert editor.texts() == {"keep": "", "drop": "", "merge": "", "rename": ""}
    assert not page.errors()


def test_what_cannot_be_is_reported_and_changes_nothing(editor):
    editor.rename("red", "green")
    assert editor.texts()["rename"] == "" and "no name twice" in editor.says()
    editor.rename("red", "two words")
    assert editor.texts()["rename"] == ""
    editor.rename("red", "rose", key="Escape")
    assert editor.texts() == {"keep": "", "drop": "", "merge": "", "rename": ""}
    editor.click("red")
    editor.click("green")
    editor.click("blue")
    assert editor.texts()["drop"] == "red, green" and "must stay" in editor.says()


def test_the_pointer_shows_the_name(editor, page):
    page.tab.mouse.move(*editor.point("blue"))
    page.tab.wait_for_timeout(300)
    assert editor.says().startswith("<blue>, saliency 1.00")


def test_an_input_changed_by_hand_is_drawn(editor):
    before = editor.colour("red")
    editor.write("drop", "red")
    assert np.abs(editor.colour("red") - before).max() > 40


def test_new_regions_from_upstream_and_names_that_are_gone(editor, page):
    editor.click("red")
    page.js(
        """names => { const node = window.app.graph._nodes.find(n => n.type === 'ConceptAtelierConceptsFromMasks');
                      node.widgets.find(w => w.name === 'names').value = names; }""",
        "one, two, three",
    )
    history = editor.run()
    assert history["status"]["status_str"] == "error" and "Reset" in editor.says()
    page.js("() => document.querySelector('.p-dialog-close-button, .p-dialog-header-close')?.click()")
    page.js("() => document.querySelectorAll('.p-dialog-mask, .comfy-modal').forEach(e => e.remove())")
    editor.press("reset")
    assert editor.run()["status"]["status_str"] == "success"
    page.tab.mouse.move(*editor.point("red"))
    page.tab.wait_for_timeout(300)
    assert editor.says().startswith("<one>")


def test_a_saved_workflow_holds_the_choices_and_no_more(editor, editor_of, page, shots, version):
    editor.click("green")
    editor.rename("blue", "sky")
    saved = page.js("() => window.app.graph.serialize()")
    (node,) = (n for n in saved["nodes"] if n["type"] == "ConceptAtelierEditConcepts")
    assert node["widgets_values"][:6] == ["", "green", "", "blue=sky", 0, False]
    assert not any(node["widgets_values"][6:])
    page.js("body => window.app.loadGraphData(body, true, true, 'again')", saved)
    page.tab.wait_for_timeout(1500)
    again = editor_of()
    assert again.texts() == {"keep": "", "drop": "green", "merge": "", "rename": "blue=sky"}
    assert again.covered(again.run()) == [{"red"}, {"blue"}]
    again.show()
    assert "<red>, <sky>" in again.says()
    page.shoot(shots / f"{version}_edit_loaded.png")


def test_two_nodes_in_a_row_keep_apart(open_graph, editor_of):
    first = open_graph({"drop": "red"}, {})
    assert first.run()["status"]["status_str"] == "success"
    second = editor_of(1)
    second.show()
    second.click("blue")
    assert second.texts()["drop"] == "blue" and first.texts()["drop"] == "red"
    assert second.covered(second.run()) == [{"green"}]


def test_without_a_picture_and_in_another_size(open_graph, page):
    editor = open_graph({}, wired=False)
    editor.run()
    page.js("key => window.app.graph.getNodeById(Number(key)).setSize([520, 760])", editor.key)
    editor.show()
    editor.click("blue")
    assert editor.texts()["drop"] == "blue"


def test_texts_stand_under_nodes(editor):
    assert editor.text_under("ConceptAtelierConceptsFromMasks").startswith("<red>: saliency 1.00")
