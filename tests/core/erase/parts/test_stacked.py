"""Changes of the same weights that are in force together."""

import torch

from concept_atelier.core.erase.parts.stacked import rank_notes, stacked
from concept_atelier.core.types import LowRank


def change(rank, size=(6, 5)):
    return LowRank(torch.randn(size[0], rank), torch.randn(rank, size[1]))


def test_a_stack_is_the_sum():
    one, other = {"a": change(2), "b": change(1)}, {"a": change(3)}
    found = stacked(one, other)
    torch.testing.assert_close(found["a"].dense(), one["a"].dense() + other["a"].dense())
    torch.testing.assert_close(found["b"].dense(), one["b"].dense())


def test_the_rank_of_what_was_trained_is_separated_from_that_of_the_closed_form():
    closed, cat, dog = {"a": change(4), "b": change(2)}, {"a": change(1)}, {"a": change(1), "b": change(1)}
    assert rank_notes(stacked(closed, cat, dog), cat, dog) == {"rank": "1", "closed_form_rank": "4"}
    assert rank_notes(stacked(cat, dog), cat, dog) == {"rank": "1"}
