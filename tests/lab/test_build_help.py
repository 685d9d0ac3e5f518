"""Help pages are those of the nodes as they are."""

from concept_atelier.lab.build_help import FOLDER, page
from concept_atelier.nodes import NODES


def test_every_node_has_its_page_and_there_are_no_others():
    assert {path.stem for path in FOLDER.glob("*.md")} == {node.GET_SCHEMA().node_id for node in NODES}


def test_pages_are_up_to_date():
    stale = [n.__name__ for n in NODES if (FOLDER / f"{n.GET_SCHEMA().node_id}.md").read_text("utf-8") != page(n)]
    assert not stale, "run python -m concept_atelier.lab.build_help"
