"""Prototypes of concepts."""

import pytest
import torch

from concept_atelier.core.evaluate.prototypes import Prototypes, merge, prototype_of


def test_features_are_brought_to_unit_length():
    assert torch.allclose(Prototypes(("a",), torch.tensor([[0.0, 5.0]])).features, torch.tensor([[0.0, 1.0]]))


def test_of_several_pictures_it_is_the_direction_between_them_whatever_their_lengths():
    wanted = torch.tensor([0.5**0.5, 0.5**0.5])
    assert torch.allclose(prototype_of(torch.tensor([[1.0, 0.0], [0.0, 9.0]])), wanted)
    assert torch.allclose(prototype_of(torch.tensor([[0.0, 3.0]])), torch.tensor([0.0, 1.0]))


def test_pictures_of_one_name_make_one_prototype():
    made = merge(["b", "a", "b"], torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]))
    assert made.names == ("b", "a")
    assert torch.allclose(made.features, torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0]]))


def test_others_come_after_and_a_taken_name_stays_what_it_was():
    own = Prototypes(("a", "b"), torch.eye(4)[:2])
    joined = own.with_others(Prototypes(("b", "c"), torch.eye(4)[2:]))
    assert joined.names == ("a", "b", "c")
    assert joined.features.equal(torch.eye(4)[[0, 1, 3]])
    assert own.names == ("a", "b")


@pytest.mark.parametrize(
    ("names", "features", "message"),
    [
        (("a",), torch.ones(2, 3), r"need features \(1, D\)"),
        (("a", "a"), torch.ones(2, 3), "must differ"),
        (("a",), torch.zeros(1, 3), "all zero"),
    ],
)
def test_bad_prototypes(names, features, message):
    with pytest.raises(ValueError, match=message):
        Prototypes(names, features)


def test_of_another_encoder_or_without_pictures():
    with pytest.raises(ValueError, match="same picture encoder"):
        Prototypes(("a",), torch.ones(1, 3)).with_others(Prototypes(("b",), torch.ones(1, 4)))
    with pytest.raises(ValueError, match="at least one picture"):
        prototype_of(torch.ones(0, 3))
    with pytest.raises(ValueError, match="2 names were given for features of 3"):
        merge(["a", "b"], torch.ones(3, 4))
    with pytest.raises(ValueError, match="no prototype is called 'z'; there are a"):
        Prototypes(("a",), torch.ones(1, 3)).index("z")
