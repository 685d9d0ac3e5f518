"""Edit Concepts where a page may put it: inside a subgraph, on a tab that was left, or drawn by Vue."""

import numpy as np
import pytest

VUE = "Comfy.VueNodes.Enabled"


@pytest.fixture
def in_subgraph(page, editor, editor_of):
    """The editor of a node that was moved into a subgraph, which is open."""
    outer = page.js(
        """key => { const { app } = window; const { graph } = app;
                    const { node } = graph.convertToSubgraph(new Set([graph.getNodeById(Number(key))]));
                    app.canvas.setGraph(node.subgraph);
                    return [node.id, node.subgraph.nodes[0].id]; }""",
        editor.key,
    )
    page.tab.wait_for_timeout(1500)
    return editor_of(key=str(outer[1]), inside=outer[0])


def test_inside_a_subgraph_regions_are_drawn_and_clicked(in_subgraph, page, shots, version):
    history = in_subgraph.run()
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]
    in_subgraph.show()
    assert in_subgraph.hints() == ""
    before = in_subgraph.colour("green")
    in_subgraph.click("green")
    in_subgraph.rename("blue", "sky")
    page.shoot(shots / f"{version}_edit_subgraph.png")
    assert in_subgraph.texts() == {"keep": "", "drop": "green", "merge": "", "rename": "blue=sky"}
    assert np.abs(in_subgraph.colour("green") - before).max() > 40
    again = in_subgraph.run()
    assert in_subgraph.said(again).startswith("<red>") and "<sky>" in in_subgraph.said(again)
    assert "green" not in in_subgraph.said(again)
    assert not page.errors()


def test_a_subgraph_that_was_left_still_shows_its_regions(in_subgraph, page):
    in_subgraph.run()
    page.js("() => window.app.canvas.setGraph(window.app.canvas.graph.rootGraph)")
    page.tab.wait_for_timeout(800)
    page.js("id => window.app.canvas.setGraph(window.app.graph.getNodeById(id).subgraph)", in_subgraph.inside)
    page.tab.wait_for_timeout(800)
    in_subgraph.show()
    in_subgraph.click("red")
    assert in_subgraph.texts()["drop"] == "red"


def test_a_workflow_tab_that_was_left_still_shows_its_regions(editor, page, shots, version):
    editor.click("green")
    command = "name => window.app.extensionManager.command.execute(name)"
    page.js(command, "Comfy.NewBlankWorkflow")
    page.tab.wait_for_timeout(1500)
    assert page.js("() => window.app.graph._nodes.length") == 0
    page.js(command, "Workspace.PreviousOpenedWorkflow")
    page.tab.wait_for_function("key => window.app.graph.getNodeById(Number(key))", arg=editor.key)
    page.tab.wait_for_timeout(1500)
    editor.show()
    page.shoot(shots / f"{version}_edit_tab.png")
    assert editor.hints() == "" and editor.texts()["drop"] == "green"
    assert "<red>, <blue>" in editor.says()
    assert editor.text_under("ConceptAtelierConceptsFromMasks").startswith("<red>: saliency 1.00")
    editor.click("green")
    assert editor.texts()["drop"] == ""
    editor.click("blue")
    assert editor.covered(editor.run()) == [{"red"}, {"green"}]
    assert not page.errors()


@pytest.fixture
def vue(page, server):
    """The page draws nodes with Vue (Nodes 2.0), until the test ends."""
    page.js("async name => await window.app.extensionManager.setting.set(name, true)", VUE)
    page.tab.wait_for_function("() => window.LiteGraph.vueNodesMode")
    page.tab.wait_for_timeout(1500)
    yield
    page.js("async name => await window.app.extensionManager.setting.set(name, false)", VUE)
    server.post(f"/settings/{VUE}", False)


def test_vue_nodes_have_regions_that_can_be_clicked(vue, editor, over_api, page, shots, version):
    assert page.tab.locator(f"[data-node-id='{editor.key}'] .conceptatelier-regions canvas").count() == 1
    assert editor.hints() == ""
    before = editor.colour("green")
    editor.click("green")
    page.shoot(shots / f"{version}_edit_vue.png")
    assert editor.texts() == {"keep": "", "drop": "green", "merge": "", "rename": ""}
    assert np.abs(editor.colour("green") - before).max() > 40
    editor.click("blue", shift=True)
    editor.click("red", shift=True)
    editor.press("merge")
    editor.rename("red", "thing")
    assert editor.texts() == {"keep": "", "drop": "green", "merge": "blue+red", "rename": "blue=thing"}
    history = editor.run()
    assert editor.covered(history) == [{"red", "blue"}]
    assert editor.said(over_api(drop="green", merge="blue+red", rename="blue=thing")) == editor.said(history)
    assert not page.errors()


def test_vue_nodes_take_typed_texts(vue, editor, page):
    before = editor.colour("green")
    node = page.tab.locator(f"[data-node-id='{editor.key}']")
    fields = node.locator("input[type=text], input:not([type]), textarea").filter(visible=True)
    fields.nth(1).click()
    page.tab.keyboard.type("green")
    page.tab.keyboard.press("Tab")
    page.tab.wait_for_timeout(800)
    assert editor.texts() == {"keep": "", "drop": "green", "merge": "", "rename": ""}
    assert np.abs(editor.colour("green") - before).max() > 40
    assert editor.covered(editor.run()) == [{"red"}, {"blue"}]
    shown = [field.input_value() for field in fields.all()]
    assert "green" in shown
    editor.click("green")
    page.tab.wait_for_timeout(500)
    assert "green" not in [field.input_value() for field in fields.all()]


def test_vue_nodes_open_with_the_choices_that_were_saved(vue, editor, editor_of, page):
    editor.click("red")
    saved = page.js("() => window.app.graph.serialize()")
    page.js("body => window.app.loadGraphData(body, true, true, 'again')", saved)
    page.tab.wait_for_timeout(1500)
    again = editor_of()
    assert again.texts()["drop"] == "red"
    assert {"green", "blue"} == {name for names in again.covered(again.run()) for name in names}
