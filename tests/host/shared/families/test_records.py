"""Which blocks a family's record chooses."""

from dataclasses import replace

import pytest

from concept_atelier.host.shared.families import Transformer

PLAIN = Transformer("Model", (("a", "a"), ("b", "b")), "heads", (), (), default_blocks=(0.5, 1.0))


@pytest.mark.parametrize(
    ("changes", "view", "chosen"),
    [
        ({}, "cross", [2, 3]),
        ({}, "self", [2, 3]),
        ({"lists": 2}, "cross", [5, 6, 7, 8, 9]),
        ({"self_blocks": (0.9, 1.0)}, "self", [9]),
        ({"self_blocks": (0.9, 1.0)}, "cross", [2, 3]),
        ({"default_blocks": (0.99, 1.0)}, "cross", [3]),  # never none
    ],
)
def test_blocks_are_shares_of_the_first_lists(changes, view, chosen):
    assert list(replace(PLAIN, **changes).read_blocks((4, 6), view)) == chosen
