"""Inputs that several nodes have alike."""

from concept_atelier.nodes import NODES
from concept_atelier.nodes.sockets import OF_A_BATCH


def test_nodes_that_read_the_first_picture_say_so():
    """Every required IMAGE of ours is read by its first picture, but for those of nodes that take every picture."""
    images = [
        (node.__name__, entry.id, entry.as_dict()["tooltip"])
        for node in NODES
        for entry in node.GET_SCHEMA().inputs
        if entry.get_io_type() == "IMAGE"
        and not entry.optional
        and not entry.id.endswith("pictures")
        and node.__name__ not in ("InvertPicture", "PurifyPicture", "FindMySubject")
    ]
    assert len(images) >= 7
    assert [image for image in images if OF_A_BATCH not in image[2]] == []
