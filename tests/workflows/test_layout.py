"""How every workflow lies on the canvas: in the format that people share, apart, readable, as a story in steps."""

import pytest

from concept_atelier.host.workflow.ui_format import is_ui_format
from concept_atelier.tools.build_workflows import WORKFLOWS
from concept_atelier.tools.workflow.layout import TITLE
from concept_atelier.tools.workflow.sizes import width_of_note

every_file = pytest.mark.parametrize("name", sorted(WORKFLOWS))


def box_of(node):
    """Of a node with its title: left, top, width, height."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, width, TITLE + (0 if node["flags"].get("collapsed") else height)


def is_inside(box, other):
    return all(other[a] <= box[a] and box[a] + box[a + 2] <= other[a] + other[a + 2] for a in (0, 1))


@every_file
def test_it_is_in_the_format_people_share_and_its_wires_agree(name, nodes_of, data_of):
    data = data_of(name)
    assert is_ui_format(data) and data["version"] == 0.4
    nodes = {node["id"]: node for node in data["nodes"]}
    ids = [node["id"] for node in nodes_of(data)]
    assert len(set(ids)) == len(ids) and max(ids) == data["last_node_id"]
    for number, source, slot, target, entry, kind in data["links"]:
        assert number in nodes[source]["outputs"][slot]["links"]
        assert nodes[target]["inputs"][entry]["link"] == number
        assert nodes[source]["outputs"][slot]["type"] == nodes[target]["inputs"][entry]["type"] == kind
    wired = [entry["link"] for node in nodes.values() for entry in node["inputs"] if entry["link"] is not None]
    assert sorted(wired) == [link[0] for link in data["links"]]


IN_FRENCH = {
    "LoadImage": 294, "ConceptAtelierMatchConcepts": 253, "ConceptAtelierLearnConceptTokens": 267,
    "ConceptAtelierEncodeConceptPrompt": 253, "ConceptAtelierEraseConcepts": 240,
}  # fmt: skip
"""To how many pixels the classic view widens nodes whose words are long; those that are narrower stay as they are."""


@every_file
def test_no_two_nodes_lie_on_each_other(name, blocks_of, data_of):
    data = data_of(name)
    for canvas in (data["nodes"], *(definition["nodes"] for definition in blocks_of(data))):
        boxes = [
            (x, y, max(width, 0 if node["flags"].get("collapsed") else IN_FRENCH.get(node["type"], 0)), height)
            for node in canvas
            for x, y, width, height in [box_of(node)]
        ]
        for index, (x, y, width, height) in enumerate(boxes):
            for left, top, wide, high in boxes[:index]:
                assert x >= left + wide or left >= x + width or y >= top + high or top >= y + height


@every_file
def test_it_is_a_story_in_numbered_steps_each_with_a_note_and_a_colour(name, nodes_of, data_of):
    data = data_of(name)
    groups, notes = data["groups"], [node for node in data["nodes"] if node["type"] == "MarkdownNote"]
    assert len(groups) == len(notes) >= 3
    assert all(group["title"].startswith(f"{number} ") for number, group in enumerate(groups, 1))
    assert len({group["color"] for group in groups}) == len(groups)
    for node in data["nodes"]:
        holding = [group for group in groups if is_inside(box_of(node), group["bounding"])]
        assert len(holding) == 1, node.get("title") or node["type"]
    assert all("_" not in node.get("title", "") for node in nodes_of(data))


@every_file
def test_what_leaves_a_block_was_made_in_it(name, blocks_of, data_of):
    """The page sends no workflow in which a subgraph's output is one of its inputs."""
    for definition in blocks_of(data_of(name)):
        assert not [link for link in definition["links"] if link["origin_id"] < 0 and link["target_id"] < 0]


SCREEN, FILL, LETTERS, LEAST_LETTERS = (1366, 768), 0.75, 14, 8
"""A small laptop's; how much of it the page fills when it fits a graph into the view; the size of titles, and that
below which the classic view leaves them out."""


@every_file
def test_all_of_it_can_be_read_on_a_laptop(name, data_of):
    data = data_of(name)
    boxes = [box_of(node) for node in data["nodes"]] + [group["bounding"] for group in data["groups"]]
    left, top = (min(box[axis] for box in boxes) for axis in (0, 1))
    right, bottom = (max(box[axis] + box[axis + 2] for box in boxes) for axis in (0, 1))
    scale = min(FILL * SCREEN[0] / (right - left + 20), FILL * SCREEN[1] / (bottom - top + 20))
    assert scale * LETTERS > LEAST_LETTERS


@every_file
def test_notes_are_read_without_scrolling(name, data_of):
    for node in data_of(name)["nodes"]:
        if node["type"] == "MarkdownNote":
            width, height = node["size"]
            assert width_of_note(*node["widgets_values"], height) <= width, node["title"]


@every_file
def test_no_wire_crosses_the_canvas(name, data_of):
    """A wire that is longer than a step and the next passes points on its way, none further than that from the next."""
    data = data_of(name)
    nodes = {node["id"]: node for node in data["nodes"]}
    points = {point["id"]: point for point in data["extra"].get("reroutes", [])}
    last = {end["id"]: end["parentId"] for end in data["extra"].get("linkExtensions", [])}
    assert {link for point in points.values() for link in point["linkIds"]} == set(last)
    for number, source, _, target, *_ in data["links"]:
        way, at = [nodes[target]["pos"][0]], last.get(number)
        while at is not None:
            assert number in points[at]["linkIds"]
            way.append(points[at]["pos"][0])
            at = points[at].get("parentId")
        way.append(nodes[source]["pos"][0] + nodes[source]["size"][0])
        assert number in last or way[0] - way[-1] < 100
        assert way[:-1] == sorted(way[:-1], reverse=True)
